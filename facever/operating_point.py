"""Operating points: a decision threshold and its provenance."""

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
OTHER = "other"  # templates not made by a gallery's policy
_ROUNDING = 1e-6  # relative, of rates; absolute, of the largest float32 score
_OPTIONAL = ("images", "miss_rate", "miss_interval")
"""Fields that are omitted where they are unknown: versions without them can read the file."""
_SCORES: dict[Similarity, tuple[float, float]] = {
    "cosine": (-1.0, 1.0),
    "euclidean": (-math.inf, 0.0),  # minus a squared distance
    "dot": (-math.inf, math.inf),
}
"""Range of scores. A threshold at the lower end accepts all scores above it; below, all scores."""


class Interval(Config):
    """A confidence interval and its method.

    `note` is a caveat for the reader, for example that the interval is too narrow.
    """

    low: FiniteFloat
    high: FiniteFloat
    level: float = Field(default=0.95, gt=0, lt=1)
    method: str
    note: str | None = None

    @model_validator(mode="after")
    def _check_ends(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"interval: high {self.high:g} is below low {self.low:g}")
        return self

    @property
    def complement(self) -> "Interval":
        """The interval of 1 minus the rate: of the FNMR, where this is of the TAR."""
        return self.model_copy(update={"low": 1 - self.high, "high": 1 - self.low})

    def holds(self, value: float) -> bool:
        """Return whether a value lies within the interval or at one of its ends."""
        return self.low <= value <= self.high


class TrialCounts(Config):
    """Numbers of genuine and impostor comparisons."""

    genuine: int = Field(ge=0)
    impostor: int = Field(ge=0)


class Measured(Config):
    """A measurement on scores, with its provenance.

    Attributes:
        kind: Kind of comparison: two images, two templates, or a probe with a whole gallery.
        similarity: Kind of score; larger means more similar.
        trials: Numbers of trials that it was measured on, at least one of each class.
        dataset: The data set that it was measured on.
        fingerprint: Fingerprint of the model (with its extraction options) that made the scores.
        score_rule: How the scores of a person's templates are combined (1:N only).
        gallery_size: People in the gallery (1:N only).
        templates: Templates of a person: a template policy, or "other" for templates not made by a
            policy (1:N and 1:1-template only).
        images: Whether it was measured on photos, in which faces were detected and aligned, or
            on crops; None if unknown.
        created: Creation time, ISO 8601 in UTC.
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
                f"{self.a_what} needs genuine and impostor trials, not "
                f"{self.trials.genuine} genuine and {self.trials.impostor} impostor"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_unknown(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        said: dict[str, Any] = dump(self)
        for name in _OPTIONAL:
            if said.get(name) is None:
                said.pop(name, None)
        return said

    def checked(self) -> Self:
        """Return itself after validating its fields: `model_copy` does not validate.

        Raises:
            ConfigError: A field is invalid; one line for the first one.
        """
        return parse(type(self), self.model_dump(), where=self.a_what)

    def other_images(self, acquisition: Mapping[str, Any]) -> str:
        """Return a warning if it was measured on crops and is used on photos, or the reverse.

        Args:
            acquisition: `EmbeddingMeta.acquisition` of the images that it is used on.

        Returns:
            One line; empty if both are the same or one of them is unknown.
        """
        here = acquisition.get("images")
        if self.images is None or here not in IMAGES or here == self.images:
            return ""
        return (
            f"the {self.what} was measured on {self.images}, these images are {here}: its "
            f"rates may differ; measure one on {here}"
        )

    def save(self, path: str | Path) -> None:
        """Write a JSON file atomically."""
        write_json(Path(path), self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that `save` wrote.

        Raises:
            EvaluationError: The file does not exist or is not JSON.
            ConfigError: A key is missing, unknown or out of range, or keys contradict each other.
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
            raise EvaluationError(f"{path} is not {cls.a_what}: not a JSON object")
        return parse(cls, values, where=str(path))


class OperatingPoint(Measured):
    """A threshold with its provenance.

    A comparison is accepted if its score is strictly larger than the threshold. For the 1:1
    kinds the rates are false match rates over impostor comparisons; for "1:N" they are false
    positive identification rates over non-mated probes, and the score rule and the number of
    people in the gallery belong to the threshold. The rest is as for `Measured`.

    Attributes:
        threshold: Accept if score > threshold. It must lie in the range of the scores: -1 to 1 for
            cosines, up to 0 for minus a squared distance.
        target_rate: The requested FMR (1:1) or FPIR (1:N).
        achieved_rate: The rate at the threshold, never above the target.
        interval: Confidence interval of the achieved rate, which must contain it.
        miss_rate: The FNMR (1:1) over the genuine trials, or the FNIR of the first candidate (1:N)
            over the mated probes, at the threshold on the same data; None if it is not recorded.
        miss_interval: Confidence interval of the miss rate, which must contain it.
    """

    what = "operating point"
    a_what = "an operating point"

    threshold: FiniteFloat
    target_rate: float = Field(gt=0, le=1)
    achieved_rate: float = Field(ge=0, le=1)
    interval: Interval | None = None
    miss_rate: float | None = Field(default=None, ge=0, le=1)
    miss_interval: Interval | None = None

    @model_validator(mode="after")
    def _check_rates(self) -> Self:
        lowest, highest = _SCORES[self.similarity]
        if not lowest <= self.threshold <= highest + _ROUNDING:
            raise ValueError(
                f"threshold {self.threshold:g} is outside the range of {self.similarity} scores "
                f"({lowest:g} to {highest:g})"
            )
        rate = self.achieved_rate
        if rate > self.target_rate * (1 + _ROUNDING):
            raise ValueError(f"achieved_rate {rate:g} is above target_rate {self.target_rate:g}")
        _require_within("achieved_rate", rate, self.interval)
        if self.miss_rate is None:
            if self.miss_interval is not None:
                raise ValueError("miss_interval is given without a miss_rate")
        else:
            _require_within("miss_rate", self.miss_rate, self.miss_interval)
        return self

    @property
    def summary(self) -> str:
        """The threshold and its provenance, in one line."""
        return (
            f"score > {self.threshold:.4f}, set for {'FPIR' if self.kind == '1:N' else 'FMR'} "
            f"{self.target_rate:g} on {self.dataset or 'unnamed data'} "
            f"({self.trials.impostor:,} impostor trials)"
        )

    @property
    def rates(self) -> str:
        """The measured error rates with their trials, in one line."""
        names = ("FPIR", "FNIR") if self.kind == "1:N" else ("FMR", "FNMR")
        counts = self.trials.impostor, self.trials.genuine
        measured = (
            (names[0], self.achieved_rate, self.interval, counts[0]),
            (names[1], self.miss_rate, self.miss_interval, counts[1]),
        )
        return ", ".join(
            f"{name} not recorded"
            if rate is None
            else f"{name} {rate:.3g}{_span(span)} of {count:,}"
            for name, rate, span, count in measured
        )

    def accepts(self, score: float) -> bool:
        """Return whether a score passes: strictly larger than the threshold, in float64.

        NumPy would compare a float32 score with the threshold rounded to float32.
        """
        return float(score) > self.threshold


def _require_within(name: str, rate: float, span: Interval | None) -> None:
    """Refuse a rate outside its interval, but for rounding.

    Raises:
        ValueError: It is outside.
    """
    if span is not None and not span.low <= rate * (1 + _ROUNDING) + 1e-12:
        raise ValueError(f"{name} {rate:g} is below its interval (low {span.low:g})")
    if span is not None and not span.high >= rate * (1 - _ROUNDING):
        raise ValueError(f"{name} {rate:g} is above its interval (high {span.high:g})")


def _span(span: Interval | None) -> str:
    return "" if span is None else f" ({span.level:.0%}: {span.low:.3g} to {span.high:.3g})"


def require_fit(point: Measured, fingerprint: str, whose: str) -> None:
    """Raise unless an operating point or a calibration is valid and fits the model.

    Args:
        point: The operating point or calibration.
        fingerprint: Fingerprint of the vectors that it is used on.
        whose: Owner of the vectors, for the message: "the gallery" or "the model".

    Raises:
        GalleryError: The fingerprints differ; the message shows both.
        ConfigError: Its fields contradict each other.
    """
    point.checked()
    if point.fingerprint in (None, UNDECLARED):
        raise GalleryError(
            f"the {point.what} has no fingerprint ({whose} has {fingerprint}): measure it on an "
            "EmbeddingSet of that model, or on arrays with fingerprint=model.fingerprint"
        )
    if point.fingerprint != fingerprint:
        raise GalleryError(
            f"the {point.what} has fingerprint {point.fingerprint}, {whose} has {fingerprint}: "
            "measure one on the scores of this model"
        )
