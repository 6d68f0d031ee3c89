"""A service's answers as the results of `Recognizer`."""

from typing import Any

from facever.config import parse
from facever.data.acquisition import face_columns
from facever.evaluation.score_calibration import ScoreCalibration
from facever.gallery.answers import (
    Answer,
    Candidate,
    Conflict,
    Enrollment,
    SearchResult,
    Verification,
)
from facever.gallery.records import Duplicate
from facever.operating_point import OperatingPoint
from facever.pair_verification import PairVerification

Said = dict[str, Any]


def search_result(said: Said) -> SearchResult:
    """Return the result of a search."""
    answers = [
        Answer(
            [Candidate(**candidate) for candidate in one["candidates"]],
            None if one["decision"] is None else one["decision"] == "known",
            one["error"],
            _face(one["face"], one["image"]),
        )
        for one in said["answers"]
    ]
    return SearchResult(
        answers,
        said["rule"],
        _point(said["operating_point"]),
        said["note"],
        said["implied_fpir"],
        said["templates"],
        said["searched"],
        _calibration(said["calibration"]),
    )


def verification(said: Said) -> Verification:
    """Return the result of a verification of a person."""
    probes, point = said["probes"], _point(said["operating_point"])
    calibration = _calibration(said["calibration"])
    return Verification(
        said["person"],
        [one["score"] for one in probes],
        None if point is None else [one["same"] for one in probes],
        said["rule"],
        said["images"],
        point,
        said["note"],
        [one["error"] for one in probes],
        said["templates"],
        None if calibration is None else [one["probability"] for one in probes],
        calibration,
        [_face(one["face"], one["image"]) for one in probes],
    )


def pair_verification(said: Said) -> PairVerification:
    """Return the result of a comparison of two images."""
    return PairVerification(
        said["score"],
        said["similarity"],
        said["same"],
        _point(said["operating_point"]),
        said["fingerprint"],
        said["note"],
        [_face(one, 0) for one in said["faces"]],
    )


def enrollment(said: Said) -> Enrollment:
    """Return the result of an enrolment."""
    return Enrollment(
        said["images"],
        said["new_people"],
        [Duplicate(**one) for one in said["duplicates"]],
        [(name, reason) for name, reason in said["failed"]],
        [Conflict(**one) for one in said["conflicts"]],
        _point(said["conflict_point"]),
        said["note"],
        said["given"],
        said["people"],
        said["not_enrolled"],
    )


def point_of(said: Said) -> OperatingPoint:
    """Return an operating point."""
    return parse(OperatingPoint, said, where="the service's operating point")


def _point(said: Said | None) -> OperatingPoint | None:
    return None if said is None else point_of(said)


def _calibration(said: Said | None) -> ScoreCalibration | None:
    return (
        None if said is None else parse(ScoreCalibration, said, where="the service's calibration")
    )


def _face(said: Said | None, image: int) -> Said | None:
    """Return the columns of a face, as `Answer.face` has them."""
    if said is None:
        return None
    columns = face_columns(
        said["box"],
        said["landmarks"],
        said["detection_score"],
        said["quality"],
        said["quality_reasons"],
    )
    if said["number"] is None:
        return columns
    return {"image": image, "face": str(said["number"]), **columns}
