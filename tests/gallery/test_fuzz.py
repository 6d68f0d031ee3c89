"""Broken and hostile imports, in small; and the soak does see what is wrong."""

import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import FaceverError, GalleryError
from facever.gallery.gallery import Gallery

SOAK = Path(__file__).parents[2] / "tools" / "soak"


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(SOAK))
    import gallery_fuzz

    return gallery_fuzz


def test_two_hundred_broken_imports_are_taken_whole_or_refused(fuzz, tmp_path: Path) -> None:
    outcomes = fuzz.attack(tmp_path, 200)
    assert sum(outcomes.values()) == 200
    assert outcomes["refused"] > 100
    assert outcomes["imported"] > 0


@pytest.mark.parametrize("name", ["vectors.npy", "rows.parquet", "meta.json", "export.json"])
@pytest.mark.parametrize("form", ["pickle", "array", "archive"])
def test_nothing_is_unpickled(fuzz, tmp_path: Path, name: str, form: str) -> None:
    trap = tmp_path / "unpickled"
    objects = np.array([fuzz.Trap(trap)], dtype=object)
    forms = {
        "pickle": pickle.dumps(fuzz.Trap(trap)),
        "array": fuzz._npy(objects, pickled=True),
        "archive": fuzz._archive(objects),
    }
    with Gallery.create(tmp_path / "g", fingerprint=fuzz.MODEL, dimension=8) as gallery:
        gallery.enroll(np.eye(2, 8), ["a", "b"], fingerprint=fuzz.MODEL)
        gallery.export(tmp_path / "export")
        (tmp_path / "export" / name).write_bytes(forms[form])
        for take in (lambda path: gallery.enroll(EmbeddingSet.load(path)), gallery.import_):
            if take is gallery.import_ or name != "export.json":
                with pytest.raises(FaceverError):
                    take(tmp_path / "export")
    assert not trap.exists()


def test_the_trap_would_be_seen(fuzz, tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(fuzz.Trap(tmp_path / "unpickled")))
    assert (tmp_path / "unpickled").is_dir()


@pytest.mark.parametrize("fault", ["half", "changed", "lines", "other"])
def test_faults_are_seen(fuzz, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    enroll = Gallery.enroll

    def faulty(gallery: Gallery, faces, *given, **options):
        if fault == "half":
            return enroll(gallery, faces.select([0]), *given, **options)
        if fault == "changed":
            enroll(gallery, faces, *given, **options)
            raise GalleryError("refused")
        if fault == "lines":
            raise GalleryError("x" * 2000)
        raise ZeroDivisionError

    base = fuzz.EmbeddingSet.from_arrays(
        fuzz._units(5, fuzz.stream(1, "test")), list("vwxyz"), fingerprint=fuzz.MODEL
    )
    base.save(tmp_path / "base")
    target = fuzz.Target(tmp_path)
    target.take(tmp_path / "base", {"duplicates": "keep"})
    monkeypatch.setattr(Gallery, "enroll", faulty)
    with pytest.raises((AssertionError, ZeroDivisionError)):
        target.take(tmp_path / "base", {"duplicates": "keep"})
