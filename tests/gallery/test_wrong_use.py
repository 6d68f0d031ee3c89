"""What a caller may get wrong is one line, and changes nothing."""

from collections.abc import Callable

import numpy as np
import pytest

from facever.errors import GalleryError
from facever.gallery.gallery import Gallery

WRONG: list[tuple[Callable[[Gallery], object], str]] = [
    (lambda g: g.remove_all("ab"), "ids must be a list, such as ['ab']"),
    (lambda g: g.split("a", "12", "new"), "sources or numbers must be a list, such as ['12']"),
    (lambda g: g.update("a", None, "xy"), "keys must be a list, such as ['xy']"),
    (
        lambda g: g.update("a", [1]),
        "metadata of a person must be keys with values, such as site=A, not [1]",
    ),
    (lambda g: list(g.people(5)), "a filter must be keys with values, such as site=A, not 5"),
    (
        lambda g: g.rebuild(5),
        "an index must be auto, flat or a FAISS factory string such as HNSW32, not 5",
    ),
]


@pytest.mark.parametrize(("call", "said"), WRONG)
def test_it_is_told(gallery: Gallery, call: Callable[[Gallery], object], said: str) -> None:
    before = gallery.info()
    with pytest.raises(GalleryError) as refusal:
        call(gallery)
    assert str(refusal.value) == said
    assert gallery.info() == before


def test_more_people_than_there_are_take_no_memory(gallery: Gallery, faces) -> None:
    assert len(gallery.search(faces, 10**12)[0].candidates) == 12
    gallery.remove_all([one.person for one in gallery.people()])
    assert gallery.search(faces, 10**12)[0].candidates == []


def test_a_closed_gallery_does_nothing_more(gallery: Gallery, faces) -> None:
    gallery.close()
    for call in (
        lambda: gallery.search(faces),
        lambda: gallery.enroll(np.eye(1, 8), "a", fingerprint="model-1"),
        lambda: gallery.remove("a"),
        gallery.purge,
        gallery.info,
    ):
        with pytest.raises(GalleryError) as refusal:
            call()
        assert str(gallery.path) in str(refusal.value)
        assert "is closed; open the gallery again" in str(refusal.value)
    gallery.close()
