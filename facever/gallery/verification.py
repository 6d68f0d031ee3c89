"""Verification: decide whether probes show a person (1:1)."""

import numpy as np

from facever.evaluation.score_calibration import ScoreCalibration
from facever.gallery import probabilities
from facever.gallery.answers import Verification
from facever.gallery.decisions import checked_rule, for_verification, joined_notes
from facever.gallery.inputs import (
    Probing,
    checked_vectors,
    failures,
    found_in,
    other_images,
)
from facever.gallery.scores import all_scores
from facever.gallery.store.store import Store
from facever.gallery.thresholds import decision_of, kept, require_usable
from facever.operating_point import OperatingPoint, ScoreRule

_KINDS = ("1:1-image", "1:1-template")  # kinds of operating points that can decide


def verify(
    store: Store,
    probes: Probing,
    person: str,
    *,
    fingerprint: str | None,
    operating_point: OperatingPoint | str | None,
    rule: ScoreRule,
    calibration: ScoreCalibration | str | None,
) -> Verification:
    """Compare probes with a person's entries; see `Gallery.verify`."""
    rule = checked_rule(rule) or "max"
    with store.reading():  # one state: the decision must match the vectors
        vectors = checked_vectors(probes, fingerprint, store.binding, store.equivalents)
        enrolled = store.vectors_of(person)
        templates, count = store.settings.templates, len(enrolled)
        decision = for_verification(
            decision_of(store, operating_point, _KINDS),
            count,
            rule,
            templates,
            named=operating_point is not None,
        )
        require_usable(store, calibration)
        calibrations, unusable = kept(store, ScoreCalibration)
        chosen = probabilities.for_verification(
            calibration, calibrations, count, rule, templates, unusable
        )
    failed = failures(probes)
    held = [row for row in range(len(vectors)) if row not in failed]
    cosines = all_scores(vectors[held], enrolled)
    scored = cosines.max(axis=1)
    if rule == "mean":
        scored = cosines.mean(axis=1, dtype=np.float64).astype(np.float32)
    scores: list[float | None] = [None] * len(vectors)
    for row, score in zip(held, scored.tolist(), strict=True):
        scores[row] = score
    point, used = decision.point, chosen.calibration
    return Verification(
        person,
        scores,
        None if point is None else [None if s is None else point.accepts(s) for s in scores],
        rule,
        count,
        point,
        joined_notes(decision.note, chosen.note, other_images(point, probes)),
        [failed.get(row) for row in range(len(vectors))],
        templates,
        None
        if used is None
        else [None if s is None else float(used.probability(s)) for s in scores],
        used,
        found_in(probes, len(vectors)),
    )
