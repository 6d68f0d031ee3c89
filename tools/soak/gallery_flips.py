"""Flipped bits in stored vectors: does one let a stranger in, hide somebody else, or go unnamed?

    python tools/soak/gallery_flips.py [--random 2000] [--storage float32] [--seed 0]

Every bit of one vector is flipped, then random bits of random vectors, each in the store and in a
snapshot that is sealed again. After each flip the gallery is opened and searched by strangers, by
the image itself and by another person's. No stranger may pass, the flipped image must not match
where its store copy is damaged and must match where only its snapshot copy is, everybody else must
be found, and `check` must name the image or the entry.
"""

import argparse
import io
import json
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing, redirect_stderr
from pathlib import Path

import numpy as np

from facever.core.seeding import stream
from facever.gallery.gallery import Gallery
from facever.gallery.index import snapshot as snapshots
from facever.gallery.index.sealed import seal, unseal

DIMENSION, PEOPLE, IMAGES, STRANGERS = 32, 50, 2, 40
MODEL, THRESHOLD = "model-1", 0.9
BYTES = {"float32": 4, "float16": 2, "int8": 1}


def _units(count: int, random: np.random.Generator) -> np.ndarray:
    rows = random.standard_normal((count, DIMENSION))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class Target:
    """A gallery whose vectors are flipped, one bit at a time."""

    def __init__(self, folder: Path, storage: str, seed: int) -> None:
        self.path = folder / "gallery"
        random = stream(seed, "flips")
        self.vectors = _units(PEOPLE * IMAGES, random)
        self.strangers = _units(STRANGERS, random)
        self.strangers -= (self.strangers @ self.vectors[0])[:, None] * self.vectors[0] / 2
        self.strangers /= np.linalg.norm(self.strangers, axis=1, keepdims=True)
        people = [f"p{row // IMAGES}" for row in range(len(self.vectors))]
        with Gallery.create(
            self.path, fingerprint=MODEL, dimension=DIMENSION, storage=storage
        ) as gallery:
            gallery.enroll(self.vectors, people, fingerprint=MODEL)
            gallery.rebuild()
        self.snapshot = self.path / snapshots.FILE
        self.whole = self.snapshot.read_bytes()

    def flip_store(self, row: int, bit: int) -> None:
        with closing(sqlite3.connect(self.path / "gallery.db")) as db:
            sql = "SELECT vector FROM images WHERE image = ?"
            content = bytearray(db.execute(sql, [row + 1]).fetchone()[0])
            content[bit // 8] ^= 1 << bit % 8
            db.execute("UPDATE images SET vector = ? WHERE image = ?", [bytes(content), row + 1])
            db.commit()

    def flip_snapshot(self, row: int, bit: int) -> None:
        self.snapshot.write_bytes(self.whole)
        content, said = unseal(self.snapshot, snapshots.MAGIC)
        copy = np.array(content)
        copy[row * 4 * DIMENSION + bit // 8] ^= 1 << bit % 8
        self.snapshot.write_bytes(copy.tobytes())
        seal(self.snapshot, snapshots.MAGIC, said)

    def store(self, row: int, bit: int) -> str:
        """Flip a bit of the store and back; return what came of it."""
        self.flip_store(row, bit)
        self.snapshot.unlink(missing_ok=True)
        said = self._ask(row, there=False)
        with Gallery.open(self.path) as gallery:
            found = [finding.problem for finding in gallery.check()]
        assert any(f"image {row + 1} of" in problem for problem in found), f"not named: {found}"
        assert f"image {row + 1} of" in said, f"no warning: {said!r}"
        self.flip_store(row, bit)
        return "store: never matches, is named"

    def index(self, row: int, bit: int) -> str:
        """Flip a bit of the snapshot and put it back; return what came of it."""
        self.flip_snapshot(row, bit)
        with Gallery.open(self.path) as gallery:
            found = [finding.problem for finding in gallery.check()]
        assert any(f"entry {row + 1};" in problem for problem in found), f"not named: {found}"
        self.flip_snapshot(row, bit)
        healed = self._ask(row, there=None)
        self.snapshot.write_bytes(self.whole)
        return f"snapshot: {healed or 'right answers'}, is named"

    def _ask(self, row: int, there: bool | None) -> str:
        other = (row + IMAGES) % len(self.vectors)
        said = io.StringIO()
        with redirect_stderr(said), Gallery.open(self.path) as gallery:
            found = gallery.search(self.strangers, 3, fingerprint=MODEL)
            for answer in found:
                assert len(answer.candidates) == 3, "fewer answers"
                assert answer.candidates[0].score < THRESHOLD, "a stranger passes"
            own, else_ = gallery.search(self.vectors[[row, other]], 1, fingerprint=MODEL)
            best = else_.candidates[0]
            assert best.person == f"p{other // IMAGES}", "another one is not found"
            assert best.score > THRESHOLD, "another one does not match"
            matches = own.candidates[0].score > THRESHOLD
            assert there is None or matches == there, f"the image matches: {matches}"
        return said.getvalue() if there is not None else ("" if matches else "image hidden")


def attack(folder: Path, bits: range, random_flips: int, storage: str, seed: int) -> Counter[str]:
    """Flip bits of one vector, then random ones; raise AssertionError on the first fault."""
    target, outcomes = Target(folder, storage, seed), Counter[str]()
    for bit in bits:
        outcomes[target.store(0, bit % (8 * BYTES[storage] * DIMENSION))] += 1
        outcomes[target.index(0, bit)] += 1
    random = stream(seed, "random flips")
    for _ in range(random_flips):
        row = int(random.integers(len(target.vectors)))
        outcomes[target.store(row, int(random.integers(8 * BYTES[storage] * DIMENSION)))] += 1
        outcomes[target.index(row, int(random.integers(32 * DIMENSION)))] += 1
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--random", type=int, default=2000)
    parser.add_argument("--storage", choices=BYTES, default="float32")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bits = range(32 * DIMENSION)
        found = attack(Path(folder), bits, options.random, options.storage, options.seed)
    print(json.dumps({"flips": sum(found.values()), **dict(sorted(found.items()))}))


if __name__ == "__main__":
    main()
