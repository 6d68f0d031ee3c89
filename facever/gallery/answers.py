"""Results of a gallery: enrolments, searches and verifications."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from facever.embeddings.template_policies import ALL
from facever.evaluation.failures import FailureRate
from facever.evaluation.score_calibration import ScoreCalibration
from facever.gallery.records import Duplicate, shown
from facever.operating_point import OperatingPoint, ScoreRule
from facever.render.blocks import Cell, Facts, Note, Section, Table
from facever.render.numbers import count, rate
from facever.render.result import Result
from facever.render.values import Record


@dataclass(frozen=True)
class Conflict:
    """An image that matches a person other than the one given for it.

    Args:
        index: Its position among the images given.
        person: Id given for the image.
        matches: Id of the matching person, in the gallery or in the same enrolment.
        score: Their score (cosine similarity), above the operating point.
        source: Source of the image, if known.
    """

    index: int
    person: str
    matches: str
    score: float
    source: str | None

    def what(self) -> str:
        """Return a short description of the image for messages."""
        return shown(self.source) if self.source is not None else f"image {self.index}"


@dataclass(frozen=True)
class Enrollment(Record):
    """Result of an enrolment.

    Args:
        images: Number of images added.
        new_people: Number of people who were not in the gallery before.
        duplicates: Images that were already enrolled.
        failed: Images without a vector, with the reasons.
        conflicts: Images that match another person.
        conflict_point: The operating point of the conflicts; None if they were not checked.
        note: Why conflicts were not checked, or a remark about the check; else empty.
        given: Number of images given.
        people: Number of people given.
        not_enrolled: The people of whom no image has a vector.

    Reference:
        ISO/IEC 19795-1:2021: failure-to-acquire rate (FTA), here of images, and failure-to-enrol
        rate (FTE), of people.
    """

    images: int
    new_people: int
    duplicates: list[Duplicate]
    failed: list[tuple[str, str]]
    conflicts: list[Conflict]
    conflict_point: OperatingPoint | None = None
    note: str = ""
    given: int = 0
    people: int = 0
    not_enrolled: list[str] = field(default_factory=list)

    json_keys = (
        "images new_people duplicates failed conflicts conflict_point note given people "
        "not_enrolled failure_to_acquire failure_to_enrol"
    )

    @property
    def failure_to_acquire(self) -> FailureRate:
        """The share of the given images that have no vector."""
        return FailureRate(len(self.failed), self.given)

    @property
    def failure_to_enrol(self) -> FailureRate:
        """The share of the given people of whom no image has a vector."""
        return FailureRate(len(self.not_enrolled), self.people)


@dataclass(frozen=True)
class Candidate:
    """A candidate for the person in a probe.

    Args:
        person: The person's id.
        score: Cosine similarity.
        probability: For the first candidate, the probability that it is the correct person; None
            for others and without a calibration.
    """

    person: str
    score: float
    probability: float | None = None


@dataclass(frozen=True)
class Answer(Record):
    """The answer to one probe of a search.

    Args:
        candidates: The most similar people, best first.
        known: Whether the best candidate passes the operating point; None without a decision.
        error: Why the probe has no vector; None if it has one.
        face: The face found in the probe's photo: box, landmarks, quality and the other columns of
            a photo's row. If every face of a photo is searched, also `image` (position of the
            image) and `face` (number of the face in it). None for a crop.
    """

    candidates: list[Candidate]
    known: bool | None = None
    error: str | None = None
    face: dict[str, Any] | None = None

    json_keys = "person candidates known error face"

    @property
    def person(self) -> str | None:
        """The id of the recognised person; None if unknown or without a decision."""
        return self.candidates[0].person if self.known else None


@dataclass(frozen=True)
class SearchResult(Result):
    """The answers to a search, one for each probe in order.

    Args:
        answers: One answer per probe.
        rule: How the scores of a person's entries were combined.
        operating_point: The operating point of the decisions, or None.
        note: Why there is no decision, or a remark about it; else empty.
        implied_fpir: The FPIR that the given 1:1 operating point would have in a gallery of this
            size.
        templates: The gallery's template policy.
        searched: Number of people searched.
        calibration: The calibration of the probabilities, or None.
    """

    answers: list[Answer]
    rule: ScoreRule
    operating_point: OperatingPoint | None
    note: str
    implied_fpir: float | None = None
    templates: str = ALL
    searched: int = 0
    calibration: ScoreCalibration | None = None

    json_keys = "rule operating_point note implied_fpir templates searched calibration answers"

    def __len__(self) -> int:
        return len(self.answers)

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.answers)

    def __getitem__(self, index: int) -> Answer:
        return self.answers[index]

    def describe(self) -> list[Section]:
        """Return the candidates of each probe and the operating point."""
        facts: list[tuple[str, Cell]] = [
            ("people searched", count(self.searched)),
            ("score", f"{self.rule} over '{self.templates}' templates"),
            ("decided by", _decided_by(self.operating_point)),
        ]
        rows: list[list[Cell]] = []
        for probe, answer in enumerate(self.answers):
            if answer.error is not None:
                rows.append([str(probe), "", f"no vector: {answer.error}", "", "", ""])
            for rank, one in enumerate(answer.candidates, start=1):
                first = rank == 1
                known = "" if answer.known is None or not first else str(answer.known).lower()
                likely = "" if one.probability is None else rate(one.probability)
                rows.append([str(probe), str(rank), one.person, rate(one.score), likely, known])
        headers = ["probe", "rank", "person", "score", "probability", "known"]
        return [_section("search", "Search", facts, self.note, Table("", headers, rows))]


@dataclass(frozen=True)
class Verification(Result):
    """Decisions whether probes show a person.

    Args:
        person: Id of the claimed person.
        scores: Cosine similarity of each probe with the person's images or templates, combined by
            the rule; None for a probe without a vector.
        same: The decisions, None for a probe without a vector; None without an operating point.
        rule: How the scores of the person's entries were combined.
        images: Number of images of the person, or templates, that each probe was compared with.
        operating_point: The operating point of the decisions, or None.
        note: Why there is no decision, or a remark about it; else empty.
        errors: Why a probe has no vector, by probe; None if it has one.
        templates: The gallery's template policy.
        probabilities: Probability that each probe shows the person; None without a calibration.
        calibration: The calibration of the probabilities, or None.
        faces: The face found in each probe's photo, like `Answer.face`.
    """

    person: str
    scores: list[float | None]
    same: list[bool | None] | None
    rule: ScoreRule
    images: int
    operating_point: OperatingPoint | None
    note: str
    errors: list[str | None]
    templates: str = ALL
    probabilities: list[float | None] | None = None
    calibration: ScoreCalibration | None = None
    faces: list[dict[str, Any] | None] = field(default_factory=list)

    def describe(self) -> list[Section]:
        """Return the score and decision of each probe."""
        facts: list[tuple[str, Cell]] = [
            ("person", self.person),
            ("score", f"{self.rule} over {self.images:,} of '{self.templates}'"),
            ("decided by", _decided_by(self.operating_point)),
        ]
        rows: list[list[Cell]] = []
        for probe, value in enumerate(self.scores):
            same = None if self.same is None else self.same[probe]
            likely = None if self.probabilities is None else self.probabilities[probe]
            rows.append(
                [
                    str(probe),
                    f"no vector: {self.errors[probe]}" if value is None else rate(value),
                    "" if likely is None else rate(likely),
                    "" if same is None else "same" if same else "different",
                ]
            )
        headers = ["probe", "score", "probability", "decision"]
        return [
            _section("verification", "Verification", facts, self.note, Table("", headers, rows))
        ]


def _decided_by(point: OperatingPoint | None) -> str:
    return "none: scores only" if point is None else point.summary


def _section(
    anchor: str, title: str, facts: list[tuple[str, Cell]], note: str, table: Table
) -> Section:
    notes = [Note(note)] if note else []
    return Section(anchor, title, [Facts(facts), *notes, table])
