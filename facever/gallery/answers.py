"""What a gallery answers."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from facever.evaluation.operating_point import Measured, OperatingPoint, ScoreRule
from facever.evaluation.policies import ALL
from facever.evaluation.score_calibration import ScoreCalibration
from facever.gallery.records import Duplicate, shown


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
class Enrollment:
    """What came of an enrolment.

    Args:
        images: Images that were added.
        new_people: People who were not in the gallery before.
        duplicates: Images that were there already.
        failed: Images without a vector, each with the reason.
        conflicts: Images that match another person.
        conflict_point: The operating point above which they do; None where none was looked for.
        note: Why none was looked for, or what to know about it; or an empty text.
    """

    images: int
    new_people: int
    duplicates: list[Duplicate]
    failed: list[tuple[str, str]]
    conflicts: list[Conflict]
    conflict_point: OperatingPoint | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**asdict(self), "conflict_point": _plain(self.conflict_point)}


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
class Answer:
    """Who one probe may be.

    Args:
        candidates: The nearest people, best first.
        known: Whether the best one passes the operating point; None where nothing decides.
        error: Why the probe has no vector, where it has none.
    """

    candidates: list[Candidate]
    known: bool | None = None
    error: str | None = None

    @property
    def person(self) -> str | None:
        """The person recognised; None for an unknown one, and where nothing decides."""
        return self.candidates[0].person if self.known else None


@dataclass(frozen=True)
class SearchResult:
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

    def __len__(self) -> int:
        return len(self.answers)

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.answers)

    def __getitem__(self, index: int) -> Answer:
        return self.answers[index]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "rule": self.rule,
            "operating_point": _plain(self.operating_point),
            "note": self.note,
            "implied_fpir": self.implied_fpir,
            "templates": self.templates,
            "searched": self.searched,
            "calibration": _plain(self.calibration),
            "answers": [{"person": answer.person, **asdict(answer)} for answer in self.answers],
        }


@dataclass(frozen=True)
class Verification:
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

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            **asdict(self),
            "operating_point": _plain(self.operating_point),
            "calibration": _plain(self.calibration),
        }


@dataclass(frozen=True)
class GalleryInfo:
    """What a gallery is and holds.

    `entries` is with how many vectors a search compares: images, or templates. `unusable` says
    of which operating points and calibrations that are kept none can be used, and why.
    """

    path: str
    gallery: str
    created: str
    change: int
    fingerprint: str
    dimension: int
    metric: str
    preprocessing: dict[str, Any]
    options: dict[str, Any]
    templates: str
    storage: str
    index: str
    read_only: bool
    people: int
    images: int
    entries: int
    operating_points: dict[str, dict[str, Any]]
    calibrations: dict[str, dict[str, Any]]
    unusable: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def _plain(measured: Measured | None) -> dict[str, Any] | None:
    """Return something measured as plain values."""
    return None if measured is None else measured.model_dump(mode="json")
