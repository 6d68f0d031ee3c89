"""Embedding sets with rows whose identity nobody knows."""

import json
from pathlib import Path

import numpy as np
import pytest

from facever import Gallery, evaluate
from facever.core.files import sha256_of_file
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
    with pytest.raises(
        DataError, match=r"2 of 6 rows have no identity: row 2 \(2\.jpg\), row 5 \(5\.jpg\);"
    ):
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


def test_an_empty_name_is_none(tmp_path: Path) -> None:
    blank = EmbeddingSet.from_arrays(VECTORS[:3], ["a", "", "  "])
    assert blank.named.tolist() == [True, False, False]
    blank.rows["identity"] = ["a", "", None]  # as a file of before could have it
    blank.save(tmp_path / "set")
    assert EmbeddingSet.load(tmp_path / "set").named.tolist() == [True, False, False]


def test_an_export_has_a_person_in_each_row(tmp_path: Path) -> None:
    with Gallery.create(tmp_path / "gallery", fingerprint="f", dimension=8) as gallery:
        gallery.enroll(faces().select(faces().named))
        gallery.export(tmp_path / "out")
        exported = EmbeddingSet.load(tmp_path / "out")
        exported.rows.loc[1, "identity"] = None
        exported.rows.to_parquet(tmp_path / "out" / "rows.parquet")
        seal = tmp_path / "out" / "export.json"
        said = json.loads(seal.read_text())
        said["sha256"]["rows.parquet"] = sha256_of_file(tmp_path / "out" / "rows.parquet")
        seal.write_text(json.dumps(said))
        with pytest.raises(GalleryError, match=r"without a person; export the gallery again"):
            gallery.import_(tmp_path / "out")
