"""What a gallery answers."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from facever.evaluation.operating_point import OperatingPoint, ScoreRule
from facever.gallery.records import Duplicate


@dataclass(frozen=True)
class Enrollment:
    """What came of an enrolment.

    Args:
        images: Images that were added.
        new_people: People who were not in the gallery before.
        duplicates: Images that were there already.
        failed: Images without a vector, each with the reason.
    """

    images: int
    new_people: int
    duplicates: list[Duplicate]
    failed: list[tuple[str, str]]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Candidate:
    """A person who may be the one in the probe, with their score (a cosine)."""

    person: str
    score: float


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
        note: Why there is no decision, or an empty text.
        implied_fpir: The share of strangers whom the 1:1 operating point that was offered would
            let pass as known in a gallery of this size.
    """

    answers: list[Answer]
    rule: ScoreRule
    operating_point: OperatingPoint | None
    note: str
    implied_fpir: float | None = None

    def __len__(self) -> int:
        return len(self.answers)

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.answers)

    def __getitem__(self, index: int) -> Answer:
        return self.answers[index]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        point = self.operating_point
        return {
            "rule": self.rule,
            "operating_point": point.model_dump(mode="json") if point is not None else None,
            "note": self.note,
            "implied_fpir": self.implied_fpir,
            "answers": [{"person": answer.person, **asdict(answer)} for answer in self.answers],
        }


@dataclass(frozen=True)
class Verification:
    """Whether probes show a person.

    Args:
        person: Who they are claimed to be.
        scores: Cosine of each probe with the person's images, one by the rule.
        same: The decisions; None where nothing decides.
        rule: How the person's images made one score.
        images: How many images of the person there are.
        operating_point: What decided, or None.
        note: Why there is no decision, or what to know about it; or an empty text.
    """

    person: str
    scores: list[float]
    same: list[bool] | None
    rule: ScoreRule
    images: int
    operating_point: OperatingPoint | None
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        point = self.operating_point
        dumped = point.model_dump(mode="json") if point is not None else None
        return {**asdict(self), "operating_point": dumped}


@dataclass(frozen=True)
class GalleryInfo:
    """What a gallery is and holds."""

    path: str
    gallery: str
    created: str
    change: int
    fingerprint: str
    dimension: int
    metric: str
    preprocessing: dict[str, Any]
    options: dict[str, Any]
    people: int
    images: int
    operating_points: dict[str, dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)
