"""Ids of people are one name however they are typed: composed or not, with space around or not."""

from pathlib import Path

import numpy as np
import pytest

from facever.errors import GalleryError
from facever.gallery.gallery import Gallery

COMPOSED, DECOMPOSED = "Jos\u00e9", "Jose\u0301"
FORMS = [COMPOSED, DECOMPOSED, f" {COMPOSED}", f"{DECOMPOSED}\t"]
MODEL = "model-1"


@pytest.fixture
def named(empty: Gallery) -> Gallery:
    empty.enroll(
        np.eye(4, 8),
        FORMS,
        fingerprint=MODEL,
        sources=[f"{row}.jpg" for row in range(4)],
        metadata={DECOMPOSED: {"site": "A"}},
    )
    return empty


@pytest.mark.parametrize("form", FORMS)
def test_every_verb_knows_the_person(named: Gallery, tmp_path: Path, form: str) -> None:
    assert [(one.person, one.images) for one in named.people()] == [(COMPOSED, 4)]
    assert named.metadata(form) == {"site": "A"}
    assert len(named.images(form)) == 4
    assert named.verify(np.eye(1, 8), form, fingerprint=MODEL).scores == [1.0]
    named.update(form, {"role": "guest"})
    assert named.metadata(COMPOSED)["role"] == "guest"
    named.split(form, ["3.jpg"], f" other {form.strip()}")
    assert named.search(np.eye(4, 8)[3], 1, fingerprint=MODEL)[0].candidates[0].person == (
        f"other {COMPOSED}"
    )
    assert named.merge(f"other {form.strip()} ", form) == 1
    named.update(form, new_id=f" new {form.strip()}")
    assert named.removed(form) is not None
    assert named.export(tmp_path / "export") == 4
    assert named.remove(f"new {form.strip()}", "0.jpg") == 1
    assert named.remove_all([f"new {form.strip()}"]) == 3
    assert named.removed(f"new {form.strip()}").action == "remove"  # type: ignore[union-attr]
    with pytest.raises(GalleryError, match=r"no person .* is enrolled"):
        named.remove(form)
    assert named.check() == []


def test_ids_that_are_nothing_or_twice(empty: Gallery) -> None:
    with pytest.raises(GalleryError, match="at least one character"):
        empty.enroll(np.eye(1, 8), "  ", fingerprint=MODEL)
    with pytest.raises(GalleryError, match="given twice"):
        empty.enroll(np.eye(1, 8), "a", fingerprint=MODEL, metadata={"a": {"x": 1}, " a": {"x": 2}})
    empty.enroll(np.eye(2, 8), ["a", "b"], fingerprint=MODEL)
    with pytest.raises(GalleryError, match="the id 'a' is already taken"):
        empty.update("b", new_id=" a ")
    with pytest.raises(GalleryError, match="the same person"):
        empty.merge("a ", "a")
