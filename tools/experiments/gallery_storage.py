"""What storing a gallery's vectors as float16 or int8 costs, on real embeddings.

    python tools/experiments/gallery_storage.py EMBEDDINGS [--json]

The first image of everyone with several is enrolled, all other images are searched, in a gallery
of each kind of storage. Scores and decisions are compared with float32's, at the threshold at
which 1 % of the strangers (people with one image) pass with float32.
"""

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from facever.embeddings.embedding_set import EmbeddingSet
from facever.gallery.answers import SearchResult
from facever.gallery.gallery import Gallery
from facever.gallery.records import STORAGES, Storage
from facever.render.text import table
from facever.studies.trial_gallery import Probes, choose_probes

_FPIR = 0.01


@dataclass(frozen=True)
class Cost:
    """Of one kind of storage.

    Attributes:
        bytes_per_image: Of the store's file, all that is kept of an image included.
        largest_change, mean_change: Of the first candidate's score, from float32's.
        first_changed: Probes whose first candidate is another person.
        decisions_changed: Probes that are decided otherwise.
        fnir: Mated probes whose person is not first above the threshold.
    """

    storage: str
    bytes_per_image: float
    largest_change: float
    mean_change: float
    first_changed: int
    decisions_changed: int
    fnir: float


def measure(embeddings: EmbeddingSet) -> list[Cost]:
    """Measure every kind of storage on the same probes."""
    probes = choose_probes(embeddings)
    found = {kind: _searched(probes, kind) for kind in STORAGES}
    names, scores, _ = found["float32"]
    strangers = np.arange(len(names)) >= len(probes.mated)
    outside = np.sort(scores[strangers])[::-1]
    threshold = outside[int(_FPIR * len(outside))]
    costs = []
    for kind, (who, score, size) in found.items():
        change, known = np.abs(score - scores), score > threshold
        right = (who == [*probes.mated.identities, *[""] * len(probes.non_mated)]) & known
        costs.append(
            Cost(
                kind,
                size / len(probes.enrolled),
                float(change.max()),
                float(change.mean()),
                int((who != names).sum()),
                int((known != (scores > threshold)).sum()),
                1 - float(right[~strangers].mean()),
            )
        )
    return costs


def _searched(probes: Probes, kind: Storage) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the first candidates and their scores, and the bytes of the store."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Gallery.create(Path(folder) / "gallery", probes.enrolled, storage=kind) as gallery,
    ):
        gallery.enroll(probes.enrolled)
        answers = [_first(gallery.search(some, 1)) for some in (probes.mated, probes.non_mated)]
        gallery.purge()
        size = (gallery.path / "gallery.db").stat().st_size
    names, scores = (np.concatenate(parts) for parts in zip(*answers, strict=True))
    return names, scores, size


def _first(found: SearchResult) -> tuple[np.ndarray, np.ndarray]:
    best = [answer.candidates[0] for answer in found]
    return np.array([one.person for one in best]), np.array([one.score for one in best])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    embeddings = EmbeddingSet.load(options.embeddings)
    costs = measure(embeddings)
    if options.json:
        print(json.dumps([asdict(cost) for cost in costs]))
        return
    print(table(list(asdict(costs[0])), [[_short(v) for v in asdict(c).values()] for c in costs]))


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
