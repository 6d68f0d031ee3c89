"""Embedding sets with rows whose identity nobody knows."""

from pathlib import Path

import numpy as np
import pytest

from facever import Gallery, evaluate
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import DataError, EvaluationError, GalleryError

VECTORS = np.random.default_rng(0).normal(size=(6, 8))
PEOPLE = ["a", "a", None, "b", "b", None]


def faces() -> EmbeddingSet:
    return EmbeddingSet.from_arrays(
        VECTORS, PEOPLE, fingerprint="f", path=[f"{i}.jpg" for i in range(6)]
    )


def test_they_are_kept(tmp_path: Path) -> None:
    faces().save(tmp_path / "set")
    again = EmbeddingSet.load(tmp_path / "set")
    assert again.named.tolist() == [True, True, False, True, True, False]
    assert again.rows["identity"].isna().tolist() == (~again.named).tolist()
    assert again.select(again.named).identities.tolist() == ["a", "a", "b", "b"]
    nobody = EmbeddingSet.from_arrays(VECTORS)
    assert not nobody.named.any()


def test_they_have_no_name() -> None:
    with pytest.raises(DataError, match=r"2 of 6 rows have no identity, first row 2 \(2\.jpg\)"):
        _ = faces().identities


@pytest.mark.parametrize("question", ["verification", "retrieval", "identification", "calibrate"])
def test_they_are_not_measured(question: str) -> None:
    with pytest.raises(EvaluationError, match=r"2 of 6 rows have no identity.*2\.jpg.*select"):
        if question == "identification":
            evaluate.identification(faces(), faces())
        getattr(evaluate, question)(faces())
    known = faces().select(faces().named)
    assert evaluate.verification(known, far=[0.5]).trials.genuine == 2


def test_galleries(tmp_path: Path) -> None:
    with Gallery.create(tmp_path / "gallery", fingerprint="f", dimension=8) as gallery:
        with pytest.raises(GalleryError, match=r"no identity.*2\.jpg.*--person"):
            gallery.enroll(faces())
        assert gallery.info().images == 0
        known = faces().select(faces().named)
        gallery.enroll(known)
        nobody = faces().select(~faces().named)
        answers = gallery.search(nobody, k=1)
        assert len(answers) == 2
        gallery.enroll(nobody, "c")
        assert gallery.info().people == 3
