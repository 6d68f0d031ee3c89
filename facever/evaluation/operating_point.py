"""Operating points: a decision threshold together with where it came from."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, FiniteFloat, field_validator, model_validator

from facever.config import Config, parse
from facever.errors import EvaluationError
from facever.evaluation.policies import ALL, named_policy
from facever.evaluation.scoring.similarity import Similarity
from facever.files import write_json

Kind = Literal["1:1-image", "1:1-template", "1:N"]
ScoreRule = Literal["max", "mean"]
OTHER = "other"  # templates that no policy of a gallery makes


class Interval(Config):
    """A confidence interval and the method that gave it.

    `note` says what a reader must know before trusting it, for example that it is too narrow.
    """

    low: FiniteFloat
    high: FiniteFloat
    level: float = Field(default=0.95, gt=0, lt=1)
    method: str
    note: str | None = None

    def holds(self, value: float) -> bool:
        """Return whether a value lies within the interval or at one of its ends."""
        return self.low <= value <= self.high


class TrialCounts(Config):
    """How many comparisons of one person with themself, and of two people, were made."""

    genuine: int = Field(ge=0)
    impostor: int = Field(ge=0)


class Measured(Config):
    """What was measured on scores, with where it came from.

    Attributes:
        kind: What is compared: two images, two templates, or a probe with a whole gallery.
        similarity: The score that it is about; larger means more alike.
        trials: How many trials stand behind it.
        dataset: The data set that it was measured on.
        fingerprint: The model (with its extraction options) whose scores it judges.
        score_rule: How a person's templates make one score (1:N only).
        gallery_size: People in the gallery (1:N only).
        templates: What a person was compared by: a template policy, or "other" for templates that
            no policy makes (1:N and 1:1-template only).
        created: When it was made, ISO 8601 in UTC.
    """

    what: ClassVar[str]
    a_what: ClassVar[str]

    kind: Kind = "1:1-image"
    similarity: Similarity = "cosine"
    trials: TrialCounts
    dataset: str = ""
    fingerprint: str | None = None
    score_rule: ScoreRule | None = None
    gallery_size: int | None = Field(default=None, ge=1)
    templates: str = ALL
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @field_validator("templates")
    @classmethod
    def _check_templates(cls, value: str) -> str:
        try:
            return value if value == OTHER else named_policy(value)
        except EvaluationError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        given = self.score_rule is not None, self.gallery_size is not None
        if self.kind == "1:N" and not all(given):
            raise ValueError(f"a 1:N {self.what} needs score_rule and gallery_size")
        if self.kind != "1:N" and any(given):
            raise ValueError(f"score_rule and gallery_size do not belong to kind {self.kind}")
        if self.kind == "1:1-image" and self.templates != ALL:
            raise ValueError(f"templates '{self.templates}' do not belong to kind 1:1-image")
        return self

    def save(self, path: Path) -> None:
        """Write it as JSON, atomically."""
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            EvaluationError: No such file or not JSON.
            ConfigError: A key that is missing, unknown or out of range.
        """
        if not path.is_file():
            raise EvaluationError(f"no {cls.what} at {path}")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise EvaluationError(f"{path} is not {cls.a_what}: not JSON") from error
        if not isinstance(values, dict):
            raise EvaluationError(f"{path} is not {cls.a_what}: it holds no JSON object")
        return parse(cls, values, where=str(path))


class OperatingPoint(Measured):
    """A threshold with its provenance; nobody types a bare threshold.

    A comparison is accepted when its score is strictly larger than the threshold. For the 1:1
    kinds the rates are false match rates over impostor comparisons; for "1:N" they are false
    positive identification rates over non-mated probes, and the score rule and the number of
    people in the gallery belong to the threshold. The rest is as for `Measured`.

    Attributes:
        threshold: Accept iff score > threshold.
        target_rate: The FMR (1:1) or FPIR (1:N) that was asked for.
        achieved_rate: The rate that was counted at the threshold, never above the target.
        interval: Confidence interval of the achieved rate.
    """

    what = "operating point"
    a_what = "an operating point"

    threshold: FiniteFloat
    target_rate: float = Field(gt=0, le=1)
    achieved_rate: float = Field(ge=0, le=1)
    interval: Interval | None = None

    def accepts(self, score: float) -> bool:
        """Return whether a score passes: strictly larger than the threshold."""
        return score > self.threshold
