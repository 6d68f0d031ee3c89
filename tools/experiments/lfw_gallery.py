"""LFW in a real gallery: one image of everyone with several is enrolled, all others are searched.

    python tools/experiments/lfw_gallery.py EMBEDDINGS OUT

EMBEDDINGS are all images of LFW by one model (`facever embed`). People with a single image are
never enrolled: theirs are the non-mated probes. Every probe goes through `Gallery.search`. FNIR at
a FPIR is given twice:

- on the curve: the threshold is the one at which these very probes come to the FPIR, as the
  evaluation states it;
- decided: each probe is decided by an operating point that was chosen on the probes of the other
  half of the people, so that the FPIR is one that was realised and not set.

Both for everybody and, where the embeddings say whom the model was trained on, for the people whom
it was neither trained nor chosen on: in the gallery of everybody, and in a gallery of them alone
(the filter of `search`). OUT gets the gallery, `lfw_gallery.json` and `lfw_gallery.md`.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facever.core.console import say
from facever.core.files import write_text
from facever.core.json_files import write_json
from facever.core.seeding import stream
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError, FaceverError
from facever.evaluation.one_to_many.by_person import person_intervals
from facever.evaluation.one_to_many.identification import measured
from facever.evaluation.one_to_many.identified import IdentificationResult
from facever.evaluation.one_to_many.search import Searched
from facever.evaluation.overlap import find_overlap, shared_people
from facever.gallery.gallery import Gallery
from facever.operating_point import Interval, OperatingPoint
from facever.render.text import table

FPIRS = (0.1, 0.01)
RANKS = (1, 10)
EVERYBODY, UNSEEN, UNSEEN_ALONE = (
    "everybody",
    "never seen, in the gallery of everybody",
    "never seen, in a gallery of them alone",
)


@dataclass(frozen=True)
class Decided:
    """What decisions came to by operating points of the other half of the people.

    Attributes:
        target: The FPIR that was asked for.
        points: The two operating points.
        false_positives, missed: Non-mated probes that were known, and mated probes that were not
            recognised as the right person.
        fpir_interval, fnir_interval: They draw people.
    """

    target: float
    points: tuple[OperatingPoint, OperatingPoint]
    false_positives: int
    missed: int
    fpir_interval: Interval
    fnir_interval: Interval


def enroll(path: Path, faces: EmbeddingSet, unseen: set[str] | None) -> Gallery:
    """Make a gallery that knows of everyone whether the model has seen them."""
    gallery = Gallery.create(path, faces)
    people = set(faces.identities.tolist())
    about = {name: {"seen": unseen is None or name not in unseen} for name in people}
    gallery.enroll(faces, metadata=about)
    return gallery


def never_seen(embeddings: EmbeddingSet) -> set[str] | None:
    """Return whom the model was neither trained nor chosen on; None where that is not known."""
    people = set(embeddings.identities.tolist())
    seen = [shared_people(embeddings.trained_on, people, use) for use in ("train", "development")]
    if seen[0] is None or seen[1] is None:
        return None
    return people - {*seen[0], *seen[1]}


def searched(
    gallery: Gallery, probes: EmbeddingSet, where: Mapping[str, Any] | None = None
) -> Searched:
    """Search every probe in the gallery and return what the evaluation counts by."""
    found = gallery.search(probes, max(RANKS), where=where)
    enrolled = {person.person for person in gallery.people(where)}
    names = probes.identities.tolist()
    mated = np.array([name in enrolled for name in names])
    best = np.full(len(names), -np.inf, np.float32)
    mate = np.full(len(names), -np.inf, np.float32)
    rank = np.full(len(names), found.searched + 1, np.int64)
    for row, (name, answer) in enumerate(zip(names, found, strict=True)):
        best[row] = answer.candidates[0].score
        for candidate in answer.candidates:
            if candidate.person == name:
                mate[row] = candidate.score  # one that ties with others comes after them
                rank[row] = sum(other.score >= candidate.score for other in answer.candidates)
    codes = np.unique(names, return_inverse=True)[1].astype(np.int64)
    return Searched(best, mate, rank, mated, codes, found.searched)


def part_of(found: Searched, rows: np.ndarray) -> Searched:
    return Searched(
        found.best[rows],
        found.mate[rows],
        found.rank[rows],
        found.mated[rows],
        found.codes[rows],
        found.people,
    )


def halves(found: Searched, seed: int) -> np.ndarray:
    """Return whether a probe is of the first half of the people; mated and non-mated ones alike."""
    first = np.zeros(int(found.codes.max()) + 1, bool)
    for kind, mated in (("mated", found.mated), ("non-mated", ~found.mated)):
        people = np.unique(found.codes[mated])
        stream(seed, "lfw gallery", kind).shuffle(people)
        first[people[: len(people) // 2]] = True
    return first[found.codes]


def decide(
    gallery: Gallery,
    probes: EmbeddingSet,
    found: Searched,
    target: float,
    seed: int,
    where: Mapping[str, Any] | None = None,
) -> Decided:
    """Decide each half of the people's probes by an operating point of the other half.

    Raises:
        EvaluationError: A half has too few non-mated probes for the FPIR.
    """
    first = halves(found, seed)
    wrong = np.zeros(len(first), bool)
    points = []
    for chosen, judged in ((first, ~first), (~first, first)):
        result = measured(part_of(found, chosen), "max", "cosine", [target], [1])
        point = result.operating_point(
            target, dataset=probes.meta.dataset, fingerprint=probes.meta.fingerprint
        )
        points.append(point)
        rows = np.flatnonzero(judged)
        answers = gallery.search(probes.select(rows), 1, operating_point=point, where=where)
        names = probes.identities[rows].tolist()
        for row, name, answer in zip(rows, names, answers, strict=True):
            # a person who is not enrolled must be unknown, anyone else be recognised
            wrong[row] = answer.person != (name if found.mated[row] else None)
    misses, alarms = wrong[found.mated], wrong[~found.mated]
    return Decided(
        target,
        (points[0], points[1]),
        int(alarms.sum()),
        int(misses.sum()),
        person_intervals(alarms[:, None], found.codes[~found.mated])[0],
        person_intervals(misses[:, None], found.codes[found.mated])[0],
    )


def trial(
    gallery: Gallery,
    probes: EmbeddingSet,
    fpirs: Sequence[float],
    seed: int,
    where: Mapping[str, Any] | None = None,
) -> tuple[IdentificationResult, list[Decided], list[str]]:
    """Return the curve, the decisions, and why some were not made."""
    found = searched(gallery, probes, where)
    curve = measured(found, "max", "cosine", fpirs, RANKS)
    decisions, refused = [], []
    for target in sorted(fpirs, reverse=True):
        try:
            decisions.append(decide(gallery, probes, found, target, seed, where))
        except EvaluationError as error:
            refused.append(f"decided at a FPIR of {target:g}: {error}")
    return curve, decisions, refused


def run(embeddings: EmbeddingSet, out: Path, fpirs: Sequence[float], seed: int) -> dict[str, Any]:
    """Enroll, search and write what came of it."""
    usable = embeddings.select(embeddings.acquired)
    names = usable.identities
    by_person = usable.rows.groupby("identity")["identity"]
    first = (by_person.cumcount() == 0).to_numpy()
    chosen = first & (by_person.transform("size") > 1).to_numpy()
    enrolled, probes = usable.select(chosen), usable.select(~chosen)
    unseen = never_seen(embeddings)
    overlap = find_overlap(embeddings.trained_on, names.tolist(), None)
    result: dict[str, Any] = {
        "dataset": embeddings.meta.dataset,
        "fingerprint": embeddings.meta.fingerprint,
        "people": len(set(names.tolist())),
        "enrolled": int(chosen.sum()),
        "failed_images": embeddings.failures,
        "overlap": overlap.to_dict(),
        "seed": seed,
        "trials": {},
    }
    lines = [
        f"{result['people']:,} people, one image of {result['enrolled']:,} enrolled; "
        f"{result['failed_images']:,} images could not be embedded",
        f"the model's training: {overlap}",
        "",
    ]
    rows, notes = [], []
    with enroll(out / "gallery", enrolled, unseen) as gallery:
        trials: list[tuple[str, EmbeddingSet, dict[str, Any] | None]] = [(EVERYBODY, probes, None)]
        if unseen is not None and 0 < len(unseen) < result["people"]:
            theirs = probes.select(np.isin(probes.identities, list(unseen)))
            trials += [(UNSEEN, theirs, None), (UNSEEN_ALONE, theirs, {"seen": False})]
        for name, part, where in trials:
            say(f"{name}: {len(part):,} probes")
            curve, decisions, refused = trial(gallery, part, fpirs, seed, where)
            result["trials"][name] = as_dict(curve, decisions, refused)
            rows += table_rows(name, curve, decisions)
            notes += [f"{name}: {reason}" for reason in refused]
            notes += [
                f"{name}: a FPIR of {one.far_target:g} needs {one.needs:,} non-mated probes"
                for one in curve.refused
            ]
    heads = ["people", "N", "FPIR", "threshold", "FPIR counted", "FNIR rank 1", "95 %", "missed"]
    lines += [table(heads, rows), *(["", *notes] if notes else [])]
    write_json(out / "lfw_gallery.json", result)
    write_text(out / "lfw_gallery.md", "\n".join(lines) + "\n")
    print("\n".join(lines))
    return result


def as_dict(
    curve: IdentificationResult, decisions: Sequence[Decided], refused: Sequence[str]
) -> dict[str, Any]:
    plain = curve.to_dict()
    kept = ("gallery_size", "probes", "cmc", "operating_points", "refused", "det")
    return {
        "curve": {key: plain[key] for key in kept},
        "decided": [
            {
                "fpir_target": one.target,
                "fpir": one.false_positives / curve.nonmated,
                "false_positives": one.false_positives,
                "fpir_interval": one.fpir_interval.model_dump(),
                "fnir": one.missed / curve.mated,
                "missed": one.missed,
                "fnir_interval": one.fnir_interval.model_dump(),
                "points": [point.model_dump(mode="json") for point in one.points],
            }
            for one in decisions
        ],
        "not_decided": list(refused),
    }


def table_rows(
    name: str, curve: IdentificationResult, decisions: Sequence[Decided]
) -> list[list[str]]:
    size = f"{curve.gallery_size:,}"

    def row(fpir: str, cut: str, alarms: int, missed: int, within: Interval) -> list[str]:
        counted = f"{alarms:,} of {curve.nonmated:,} ({alarms / curve.nonmated:.4f})"
        span = f"{within.low:.4f} - {within.high:.4f}"
        fnir = f"{missed / curve.mated:.4f}"
        return [name, size, fpir, cut, counted, fnir, span, f"{missed:,} of {curve.mated:,}"]

    rows = [
        row(
            f"{point.fpir_target:g}, curve",
            f"{point.threshold:.4f}",
            point.false_positives,
            point.missed[1],
            point.fnir_intervals[1],
        )
        for point in curve.points
    ]
    rows += [
        row(
            f"{one.target:g}, decided",
            " / ".join(f"{point.threshold:.4f}" for point in one.points),
            one.false_positives,
            one.missed,
            one.fnir_interval,
        )
        for one in decisions
    ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--fpir", type=float, nargs="+", default=list(FPIRS))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    try:
        run(EmbeddingSet.load(given.embeddings), given.out, given.fpir, given.seed)
    except FaceverError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
