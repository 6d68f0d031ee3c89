"""A verb that committed does not end as failed: what is read after the commit cannot undo it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from facever.errors import GalleryError
from facever.gallery.gallery import Gallery


@pytest.fixture
def unreadable_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let nothing be read of a gallery once a verb has done its work."""

    def arrange(verb: str) -> None:
        real, info = getattr(Gallery, verb), Gallery.info
        done: list[bool] = []

        def act(gallery: Gallery, *given: object, **more: object) -> object:
            found = real(gallery, *given, **more)
            done.append(True)
            return found

        def read(gallery: Gallery) -> object:
            if done:
                raise GalleryError("it is damaged")
            return info(gallery)

        monkeypatch.setattr(Gallery, verb, act)
        monkeypatch.setattr(Gallery, "info", read)

    return arrange


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("remove_all", ("remove", "a")),
        ("purge", ("purge",)),
        ("rebuild", ("rebuild",)),
        ("add_operating_point", ("threshold", "POINT")),
        ("update", ("update", "a", "site=A")),
        ("merge", ("merge", "a", "b")),
    ],
)
def test_what_is_read_after_a_change_undoes_nothing(
    facever, gallery: Path, save_point, unreadable_after, verb: str, words: tuple[str, ...]
) -> None:
    point = save_point("door", 0.5)
    unreadable_after(verb)
    given = [point if word == "POINT" else word for word in words[1:]]
    status, _, noted = facever("gallery", words[0], gallery, *given)
    assert status == 0
    assert noted == "" or noted.startswith("warning: the change was made, but the gallery cannot")
    assert (noted == "") == (verb in ("update", "merge"))


def test_an_enrolment_that_was_made_is_not_said_to_have_failed(
    facever, gallery: Path, people: Path, model: Path, unreadable_after
) -> None:
    unreadable_after("enroll")
    words = ("gallery", "enroll", gallery, people / "a" / "0.png", "--person", "late")
    status, said, noted = facever(*words, "--model", model, "--duplicates", "keep", "--json")
    assert (status, json.loads(said)["images"]) == (0, 1)
    assert "warning: the change was made" in noted


def test_what_cannot_be_read_is_refused_before_the_change(
    facever, gallery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(gallery: Gallery) -> object:
        raise GalleryError("it is damaged")

    with monkeypatch.context() as patch:
        patch.setattr(Gallery, "info", damaged)
        status, _, noted = facever("gallery", "remove", gallery, "a")
        assert (status, noted) == (2, "error: it is damaged\n")
    with Gallery.open(gallery) as opened:
        assert "a" in {person for person, _ in opened.people()}
