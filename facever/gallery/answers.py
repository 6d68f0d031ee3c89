"""What a gallery answers."""

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
    """An image that matches another person than the one it was to be enrolled as.

    Args:
        index: Its position among the images given.
        person: As whom it was to be enrolled.
        matches: The other person, in the gallery or among those enrolled with it.
        score: Their score (a cosine), above the operating point.
        source: Where the image came from, where known.
    """

    index: int
    person: str
    matches: str
    score: float
    source: str | None

    def what(self) -> str:
        """Return a name of the image for a message."""
        return shown(self.source) if self.source is not None else f"image {self.index}"


@dataclass(frozen=True)
class Enrollment(Record):
    """What came of an enrolment.

    Args:
        images: Images that were added.
        new_people: People who were not in the gallery before.
        duplicates: Images that were there already.
        failed: Images without a vector, each with the reason.
        conflicts: Images that match another person.
        conflict_point: The operating point above which they do; None where none was looked for.
        note: Why none was looked for, or what to know about it; or an empty text.
        given: Images that were to be enrolled.
        people: People whom these show.
        not_enrolled: Those of them none of whose images has a vector.

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
        """The share of the images given that have no vector."""
        return FailureRate(len(self.failed), self.given)

    @property
    def failure_to_enrol(self) -> FailureRate:
        """The share of the people given none of whose images has a vector."""
        return FailureRate(len(self.not_enrolled), self.people)


@dataclass(frozen=True)
class Candidate:
    """A person who may be the one in the probe.

    Args:
        person: Their id.
        score: A cosine.
        probability: Of the first candidate, that it is the right person, where a calibration
            tells; else None.
    """

    person: str
    score: float
    probability: float | None = None


@dataclass(frozen=True)
class Answer(Record):
    """Who one probe may be.

    Args:
        candidates: The nearest people, best first.
        known: Whether the best one passes the operating point; None where nothing decides.
        error: Why the probe has no vector, where it has none.
        face: What was found in the probe's photo, by the names of the columns of a photo's row
            (box, landmarks, quality, ...); where every face of a photo is searched also `image`,
            which of the images it is in, and `face`, its number there. None for a crop.
    """

    candidates: list[Candidate]
    known: bool | None = None
    error: str | None = None
    face: dict[str, Any] | None = None

    json_keys = "person candidates known error face"

    @property
    def person(self) -> str | None:
        """The person recognised; None for an unknown one, and where nothing decides."""
        return self.candidates[0].person if self.known else None


@dataclass(frozen=True)
class SearchResult(Result):
    """The answers to a search, one for each probe in order.

    Args:
        answers: One for each probe.
        rule: How a person's images made one score.
        operating_point: What decided, or None.
        note: Why there is no decision, or what to know about it; or an empty text.
        implied_fpir: The share of strangers whom the 1:1 operating point that was offered would
            let pass as known in a gallery of this size.
        templates: The policy by which people are compared.
        searched: How many people were searched.
        calibration: What gave the probabilities, or None.
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
        """Return the candidates of each probe, and what decided."""
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
    """Whether probes show a person.

    Args:
        person: Who they are claimed to be.
        scores: Cosine of each probe with the person's images or templates, one by the rule; None
            for a probe without a vector.
        same: The decisions, None for a probe without a vector; None where nothing decides.
        rule: How the person's images made one score.
        images: How many images of the person, or templates, each probe was compared with.
        operating_point: What decided, or None.
        note: Why there is no decision, or what to know about it; or an empty text.
        errors: Why a probe has no vector, by probe; None where it has one.
        templates: The policy by which people are compared.
        probabilities: That each probe shows the person; None where no calibration tells.
        calibration: What gave the probabilities, or None.
        faces: What was found in each probe's photo, as `Answer.face`.
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
        """Return the score of each probe and the decision."""
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
    return "nothing: scores only" if point is None else point.summary


def _section(
    anchor: str, title: str, facts: list[tuple[str, Cell]], note: str, table: Table
) -> Section:
    notes = [Note(note)] if note else []
    return Section(anchor, title, [Facts(facts), *notes, table])
