"""Answers as JSON: the keys of the results' `to_dict`, and what HTTP adds."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from facever.data.acquisition import box_of, landmarks_of
from facever.gallery.answers import SearchResult, Verification
from facever.pair_verification import PairVerification
from facever.render.values import json_value

Point = dict[str, Any]
"""An operating point or a calibration with its provenance."""


class FaceReply(BaseModel):
    """A face found in a photo; positions in pixels of the upright photo."""

    box: list[float] = Field(description="Left, top, width, height.")
    landmarks: list[list[float]] = Field(
        description="x and y of the right eye, left eye, nose, right and left mouth corner."
    )
    detection_score: float = Field(description="0 to 1.")
    quality: float = Field(description="0 to 100.")
    quality_reasons: list[str] = Field(description="Reasons for a low quality.")
    number: int | None = Field(
        None, description="Number of the face in its photo, from 1, where all faces are searched."
    )


class CandidateReply(BaseModel):
    """A candidate for the person in a probe."""

    person: str
    score: float = Field(description="Cosine similarity.")
    probability: float | None = Field(None, description="Of the first one, with a calibration.")


class AnswerReply(BaseModel):
    """The answer to one probe: an image, a face of it, or an embedding."""

    image: int = Field(description="Number of the image or embedding in the request, from 0.")
    decision: Literal["known", "unknown"] | None = Field(
        description="null without a decision: `note` of the reply has the reason."
    )
    person: str | None = Field(description="The recognised person; null if unknown or undecided.")
    candidates: list[CandidateReply]
    error: str | None = Field(description="Why the probe has no vector; null if it has one.")
    face: FaceReply | None


class SearchReply(BaseModel):
    """The answers to a search (1:N)."""

    answers: list[AnswerReply]
    operating_point: Point | None = Field(description="What decided, with its provenance.")
    note: str = Field(description="Why there is no decision, or a remark about it.")
    rule: str
    templates: str
    searched: int = Field(description="People searched.")
    implied_fpir: float | None
    calibration: Point | None
    fingerprint: str
    change: int = Field(description="Number of the gallery's last change before the search.")


class ProbeReply(BaseModel):
    """Whether one probe shows the claimed person."""

    image: int
    score: float | None
    same: bool | None = Field(description="null without a decision or without a vector.")
    probability: float | None
    error: str | None
    face: FaceReply | None


class PersonVerificationReply(BaseModel):
    """Decisions whether images show a person (1:1)."""

    person: str
    probes: list[ProbeReply]
    operating_point: Point | None
    note: str
    rule: str
    templates: str
    images: int = Field(description="Images or templates of the person that were compared.")
    calibration: Point | None
    fingerprint: str


class PairVerificationReply(BaseModel):
    """Decision whether two images show the same person (1:1)."""

    score: float
    similarity: str
    same: bool | None = Field(description="null without an operating point.")
    operating_point: Point | None
    note: str
    faces: list[FaceReply | None]
    fingerprint: str


class FoundFaces(BaseModel):
    """The faces of one photo, best first; or why it could not be read."""

    image: int
    faces: list[FaceReply]
    error: str | None


class DetectionReply(BaseModel):
    """The faces of each photo."""

    photos: list[FoundFaces]


class PersonReply(BaseModel):
    """A person and what is kept of them."""

    person: str
    images: int
    metadata: dict[str, Any]


class PersonRow(BaseModel):
    """A person in a list."""

    person: str
    images: int


class PeoplePage(BaseModel):
    """Some people, in the order of their first enrolment."""

    people: list[PersonRow]
    next: int | None = Field(description="Value of `after` for the next page; null at the end.")


class ImageRow(BaseModel):
    """A record of an enrolled image."""

    image: int
    source: str | None
    hash: str | None
    enrolled: str
    norm: float | None
    quality: float | None
    camera: str | None
    taken: str | None
    crop: bool = Field(description="Whether its crop is kept.")


class ImagesReply(BaseModel):
    """A person's images."""

    person: str
    images: list[ImageRow]


class EnrollmentReply(BaseModel):
    """What an enrolment added."""

    images: int
    new_people: int
    duplicates: list[dict[str, Any]]
    failed: list[tuple[str, str]]
    conflicts: list[dict[str, Any]]
    conflict_point: Point | None
    note: str
    given: int
    people: int
    not_enrolled: list[str]


class CountReply(BaseModel):
    """A number of images that were moved or removed."""

    images: int


class ThresholdsReply(BaseModel):
    """The gallery's operating points by name."""

    operating_points: dict[str, Point]
    unusable: list[str] = Field(description="Why others cannot be used.")


class InfoReply(BaseModel):
    """The service, its model and its gallery."""

    version: str
    gallery: dict[str, Any]
    photos: bool = Field(description="Whether faces are detected; false: images are crops.")
    limits: dict[str, float]
    log_days: int = Field(description="Days that the log of uses keeps a row; 0: no log.")


def face_of(columns: dict[str, Any] | None) -> FaceReply | None:
    """Return the face of a photo's columns; None for crops and photos without a face."""
    if not columns or "box" not in columns:
        return None
    reasons = str(columns.get("quality_reasons") or "")
    return FaceReply(
        box=list(box_of(columns["box"])),
        landmarks=landmarks_of(columns["landmarks"]).astype(float).round(2).tolist(),
        detection_score=columns["detection_score"],
        quality=columns["quality"],
        quality_reasons=[one for one in reasons.split("; ") if one],
        number=int(columns["face"]) if "face" in columns else None,
    )


def search_reply(found: SearchResult, fingerprint: str, change: int) -> SearchReply:
    """Return the reply of a search."""
    answers = []
    for row, answer in enumerate(found):
        decision: Literal["known", "unknown"] | None = None
        if answer.known is not None:
            decision = "known" if answer.known else "unknown"
        answers.append(
            AnswerReply(
                image=_image_of(answer.face, row),
                decision=decision,
                person=answer.person,
                candidates=[
                    CandidateReply(person=one.person, score=one.score, probability=one.probability)
                    for one in answer.candidates
                ],
                error=answer.error,
                face=face_of(answer.face),
            )
        )
    return SearchReply(
        answers=answers,
        operating_point=json_value(found.operating_point),
        note=found.note,
        rule=found.rule,
        templates=found.templates,
        searched=found.searched,
        implied_fpir=found.implied_fpir,
        calibration=json_value(found.calibration),
        fingerprint=fingerprint,
        change=change,
    )


def person_verification_reply(result: Verification, fingerprint: str) -> PersonVerificationReply:
    """Return the reply of a verification of a person."""
    faces = result.faces or [None] * len(result.scores)
    probes = [
        ProbeReply(
            image=_image_of(faces[row], row),
            score=score,
            same=None if result.same is None else result.same[row],
            probability=None if result.probabilities is None else result.probabilities[row],
            error=result.errors[row],
            face=face_of(faces[row]),
        )
        for row, score in enumerate(result.scores)
    ]
    return PersonVerificationReply(
        probes=probes,
        fingerprint=fingerprint,
        **{name: value for name, value in result.to_dict().items() if name in _OF_A_PERSON},
    )


_OF_A_PERSON = set(PersonVerificationReply.model_fields) - {"probes", "fingerprint"}


def pair_verification_reply(result: PairVerification) -> PairVerificationReply:
    """Return the reply of a comparison of two images."""
    faces = [face_of(columns) for columns in result.faces]
    return PairVerificationReply(**{**result.to_dict(), "faces": faces})


def _image_of(face: dict[str, Any] | None, row: int) -> int:
    return int(face["image"]) if face is not None and "image" in face else row
