"""Write small galleries by the code that is installed, and what they answer, into one archive.

    git checkout COMMIT  # whose galleries are wanted
    python tests/gallery/former/make_galleries.py format-2.tar.gz

`tests/gallery/test_former.py` opens them with the code of today. Vectors are made up.
"""

import argparse
import io
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from facever.embeddings.embedding_set import EmbeddingSet
from facever.evaluation.score_calibration import ScoreCalibration
from facever.gallery.gallery import Gallery
from facever.gallery.records import Binding
from facever.operating_point import OperatingPoint

DIMENSION, MODEL, NEXT_MODEL = 16, "model-1", "model-2"
SETTINGS = {
    "float32-all-ivf": {"index": "IVF4,Flat:nprobe=2"},
    "float32-medoids": {"templates": "medoids:2"},
    "float16-mean": {"storage": "float16", "templates": "mean"},
    "float16-all-hnsw": {"storage": "float16", "index": "HNSW8"},
    "int8-quality-mean": {"storage": "int8", "templates": "quality_mean"},
    "int8-all": {"storage": "int8", "index": "flat"},
    "migrating": {},
    "names": {},
}
NAMES = ["Jos\u00e9", "Jose\u0301", "p0", " p0", "p0 ", "\u212bsa", "\u00c5sa", "single ", "plain"]


def units(count: int, seed: int, dimension: int = DIMENSION) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def fill(gallery: Gallery, name: str) -> None:
    """Enrol, and change it in every way that leaves a trace."""
    if name == "names":
        gallery.enroll(units(len(NAMES), 5), NAMES, fingerprint=MODEL)
        return
    people = [f"person {row % 20:02d}" for row in range(60)]
    faces = EmbeddingSet.from_arrays(
        units(60, 0),
        people,
        fingerprint=MODEL,
        path=[f"{row}.jpg" for row in range(60)],
        quality=[0.5 + row % 7 for row in range(60)],
    )
    metadata = {"person 00": {"site": "A", "seen": [1, None, {"deep": True}]}}
    gallery.enroll(faces, hashes=[f"hash {row}" for row in range(60)], metadata=metadata)
    gallery.rebuild()
    gallery.remove_all(["person 18", "person 19"])
    gallery.remove("person 17", "17.jpg")
    gallery.update("person 16", {"site": "B"}, new_id="renamed")
    gallery.merge("person 15", "person 14")
    gallery.split("person 13", ["13.jpg"], "apart")
    late = EmbeddingSet.from_arrays(
        units(2, 1), ["late"] * 2, fingerprint=MODEL, path=["late 0", "late 1"], quality=[1, 2]
    )
    gallery.enroll(late)
    measured: dict[str, Any] = {"trials": {"genuine": 100, "impostor": 10_000}}
    point = {"threshold": 0.5, "target_rate": 1e-3, "achieved_rate": 9e-4, "fingerprint": MODEL}
    gallery.add_operating_point("one", OperatingPoint(kind="1:1-image", **point, **measured))
    told = {"method": "logistic", "scores": (0.0, 1.0), "llrs": (-4.0, 6.0), "prior": 0.25}
    told |= {"fingerprint": MODEL}
    gallery.add_calibration("likely", ScoreCalibration(kind="1:1-image", **told, **measured))
    if name == "migrating":
        gallery.begin_migration(Binding(NEXT_MODEL, 8))
        vectors = units(10, 7, 8)
        gallery.add_migrated(range(1, 11), vectors, [1.0] * 10, fingerprint=NEXT_MODEL)


def said_by(gallery: Gallery) -> dict[str, Any]:
    """Return what a gallery is, holds and answers."""
    ids, vectors = gallery.entries()
    found = gallery.search(units(8, 9), 3, fingerprint=MODEL, operating_point=None)
    return {
        "info": {**gallery.info().to_dict(), "path": None},
        "people": [[one.person, one.images] for one in gallery.people()],
        "metadata": {one.person: gallery.metadata(one.person) for one in gallery.people()},
        "images": {
            one.person: [image.to_dict() for image in gallery.images(one.person)]
            for one in gallery.people()
        },
        "entries": [[id_, vector] for id_, vector in zip(ids, vectors.tolist(), strict=True)],
        "audit": [entry.to_dict() for entry in gallery.audit()],
        "answers": [[[c.person, c.score] for c in answer.candidates] for answer in found],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("archive", type=Path)
    archive = parser.parse_args().archive
    expected = {}
    with tempfile.TemporaryDirectory() as folder, tarfile.open(archive, "w:gz") as packed:
        for name, settings in SETTINGS.items():
            path = Path(folder, name)
            with Gallery.create(
                path, fingerprint=MODEL, dimension=DIMENSION, **settings
            ) as gallery:
                fill(gallery, name)
                expected[name] = said_by(gallery)
            packed.add(path, name)
        text = json.dumps(expected).encode()
        about = tarfile.TarInfo("expected.json")
        about.size = len(text)
        packed.addfile(about, io.BytesIO(text))
    print(f"{archive}: {archive.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
