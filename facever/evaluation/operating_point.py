"""Operating points: a decision threshold together with where it came from."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from facever.config import Config, parse
from facever.errors import EvaluationError
from facever.evaluation.scoring.similarity import Similarity
from facever.files import write_json

Kind = Literal["1:1-image", "1:1-template", "1:N"]
ScoreRule = Literal["max", "mean"]


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


class OperatingPoint(Config):
    """A threshold with its provenance; nobody types a bare threshold.

    A comparison is accepted when its score is strictly larger than the threshold. For the 1:1
    kinds the rates are false match rates over impostor comparisons; for "1:N" they are false
    positive identification rates over non-mated probes, and the score rule and the number of
    people in the gallery belong to the threshold.

    Attributes:
        kind: What is compared: two images, two templates, or a probe with a whole gallery.
        threshold: Accept iff score > threshold.
        similarity: The score that the threshold is on; larger means more alike.
        target_rate: The FMR (1:1) or FPIR (1:N) that was asked for.
        achieved_rate: The rate that was counted at the threshold, never above the target.
        trials: How many trials stand behind it.
        interval: Confidence interval of the achieved rate.
        dataset: The data set that it was measured on.
        fingerprint: The model (with its extraction options) whose scores it judges.
        score_rule: How a person's templates make one score (1:N only).
        gallery_size: People in the gallery (1:N only).
        created: When it was made, ISO 8601 in UTC.
    """

    kind: Kind = "1:1-image"
    threshold: FiniteFloat
    similarity: Similarity = "cosine"
    target_rate: float = Field(gt=0, le=1)
    achieved_rate: float = Field(ge=0, le=1)
    trials: TrialCounts
    interval: Interval | None = None
    dataset: str = ""
    fingerprint: str | None = None
    score_rule: ScoreRule | None = None
    gallery_size: int | None = Field(default=None, ge=1)
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        given = self.score_rule is not None, self.gallery_size is not None
        if self.kind == "1:N" and not all(given):
            raise ValueError("a 1:N operating point needs score_rule and gallery_size")
        if self.kind != "1:N" and any(given):
            raise ValueError(f"score_rule and gallery_size do not belong to kind {self.kind}")
        return self

    def accepts(self, score: float) -> bool:
        """Return whether a score passes: strictly larger than the threshold."""
        return score > self.threshold

    def save(self, path: Path) -> None:
        """Write the operating point as JSON, atomically."""
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read an operating point.

        Raises:
            EvaluationError: No such file or not JSON.
            ConfigError: A key that is missing, unknown or out of range.
        """
        if not path.is_file():
            raise EvaluationError(f"no operating point at {path}")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise EvaluationError(f"{path} is not an operating point: not JSON") from error
        if not isinstance(values, dict):
            raise EvaluationError(f"{path} is not an operating point: it holds no JSON object")
        return parse(cls, values, where=str(path))
