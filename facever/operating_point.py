"""Operating points: a decision threshold together with where it came from."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import (
    Field,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from facever.config import Config, parse
from facever.core.json_files import read_json, write_json
from facever.embeddings.meta import UNDECLARED
from facever.embeddings.similarities import Similarity
from facever.embeddings.template_policies import ALL, named_policy
from facever.errors import EvaluationError, GalleryError

Kind = Literal["1:1-image", "1:1-template", "1:N"]
Images = Literal["photos", "crops"]
ScoreRule = Literal["max", "mean"]
IMAGES: tuple[Images, ...] = ("photos", "crops")
OTHER = "other"  # templates that no policy of a gallery makes
_ROUNDING = 1e-6  # of a largest score in float32, and of a rate
_SCORES: dict[Similarity, tuple[float, float]] = {
    "cosine": (-1.0, 1.0),
    "euclidean": (-math.inf, 0.0),  # minus a squared distance
    "dot": (-math.inf, math.inf),
}
"""What scores can be. At the lower end all but the least score pass; below, every score would."""


class Interval(Config):
    """A confidence interval and the method that gave it.

    `note` says what a reader must know before trusting it, for example that it is too narrow.
    """

    low: FiniteFloat
    high: FiniteFloat
    level: float = Field(default=0.95, gt=0, lt=1)
    method: str
    note: str | None = None

    @model_validator(mode="after")
    def _check_ends(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"the interval ends at {self.high:g} below its begin, {self.low:g}")
        return self

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
        trials: How many trials stand behind it, at least one of each sort.
        dataset: The data set that it was measured on.
        fingerprint: The model (with its extraction options) whose scores it judges.
        score_rule: How a person's templates make one score (1:N only).
        gallery_size: People in the gallery (1:N only).
        templates: What a person was compared by: a template policy, or "other" for templates that
            no policy makes (1:N and 1:1-template only).
        images: Whether it was measured on photos, in which faces were found and aligned, or on
            crops; None where that is not known.
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
    images: Images | None = None
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
        if not self.trials.genuine or not self.trials.impostor:
            raise ValueError(
                f"{self.a_what} is measured on trials of both sorts, not on "
                f"{self.trials.genuine} genuine and {self.trials.impostor} impostor ones"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_unknown(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        said: dict[str, Any] = dump(self)
        if said.get("images") is None:  # versions that know no photos read the file too
            said.pop("images", None)
        return said

    def checked(self) -> Self:
        """Return itself when its fields agree: a copy with other values was never checked.

        Raises:
            ConfigError: One line for the first field that is wrong.
        """
        return parse(type(self), self.model_dump(), where=self.a_what)

    def other_images(self, acquisition: Mapping[str, Any]) -> str:
        """Return what to say where it is used on photos and was measured on crops, or the reverse.

        Args:
            acquisition: How the images that it judges became vectors: `EmbeddingMeta.acquisition`.

        Returns:
            One line, or an empty text where they are the same or one of them is not known.
        """
        here = acquisition.get("images")
        if self.images is None or here not in IMAGES or here == self.images:
            return ""
        return (
            f"the {self.what} was measured on {self.images} and these are {here}: its rates may "
            f"differ; measure one on {here}"
        )

    def save(self, path: str | Path) -> None:
        """Write it as JSON, atomically."""
        write_json(Path(path), self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            EvaluationError: No such file or not JSON.
            ConfigError: A key that is missing, unknown or out of range, or keys that contradict
                each other.
        """
        try:
            values = read_json(Path(path))
        except FileNotFoundError as error:
            raise EvaluationError(f"no {cls.what} at {path}") from error
        except OSError as error:
            raise EvaluationError(f"{path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise EvaluationError(f"{path} is not {cls.a_what}: not JSON ({error})") from error
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
        threshold: Accept iff score > threshold. It lies where scores can be: cosines from -1 to
            1, minus a squared distance up to 0.
        target_rate: The FMR (1:1) or FPIR (1:N) that was asked for.
        achieved_rate: The rate that was counted at the threshold, never above the target.
        interval: Confidence interval of the achieved rate, which lies in it.
    """

    what = "operating point"
    a_what = "an operating point"

    threshold: FiniteFloat
    target_rate: float = Field(gt=0, le=1)
    achieved_rate: float = Field(ge=0, le=1)
    interval: Interval | None = None

    @model_validator(mode="after")
    def _check_rates(self) -> Self:
        lowest, highest = _SCORES[self.similarity]
        if not lowest <= self.threshold <= highest + _ROUNDING:
            raise ValueError(
                f"threshold {self.threshold:g} is no {self.similarity} score (from {lowest:g} to "
                f"{highest:g})"
            )
        rate = self.achieved_rate
        if rate > self.target_rate * (1 + _ROUNDING):
            raise ValueError(
                f"achieved_rate {rate:g} is above target_rate {self.target_rate:g}: it does not "
                "reach its target"
            )
        span = self.interval
        if span is not None and not span.low <= rate * (1 + _ROUNDING) + 1e-12:
            raise ValueError(f"achieved_rate {rate:g} is below its interval, from {span.low:g}")
        if span is not None and not span.high >= rate * (1 - _ROUNDING):
            raise ValueError(f"achieved_rate {rate:g} is above its interval, to {span.high:g}")
        return self

    @property
    def summary(self) -> str:
        """The threshold and where it came from, in one line."""
        return (
            f"score > {self.threshold:.4f}, set for {'FPIR' if self.kind == '1:N' else 'FMR'} "
            f"{self.target_rate:g} on {self.dataset or 'unnamed data'} "
            f"({self.trials.impostor:,} impostor trials)"
        )

    def accepts(self, score: float) -> bool:
        """Return whether a score passes: strictly larger than the threshold, in float64.

        NumPy would compare a float32 score with the threshold rounded to float32.
        """
        return float(score) > self.threshold


def require_fit(point: Measured, fingerprint: str, whose: str) -> None:
    """Refuse an operating point, or a calibration, of another model or that contradicts itself.

    Args:
        point: The operating point.
        fingerprint: Of the vectors that it is to judge.
        whose: Whose the vectors are, for the message: "the gallery" or "the model".

    Raises:
        GalleryError: It is of another; both fingerprints are shown.
        ConfigError: Its fields do not agree with each other.
    """
    point.checked()
    if point.fingerprint in (None, UNDECLARED):
        raise GalleryError(
            f"the {point.what} does not say which model's scores it is for ({whose} is of "
            f"{fingerprint}): measure it on an EmbeddingSet of that model, or on arrays with "
            "fingerprint=model.fingerprint"
        )
    if point.fingerprint != fingerprint:
        raise GalleryError(
            f"the {point.what} is of fingerprint {point.fingerprint}, {whose} of {fingerprint}: "
            "measure one on this model's own scores"
        )
