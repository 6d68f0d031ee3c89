"""The configuration of adversarial hard-triplet generation."""

from typing import Literal, Self

from pydantic import Field, model_validator

from facever.config import Config
from facever.heads.common.mining import Mining
from facever.training.computing.optimization import NetworkOptimizerConfig, ScheduleConfig

NAME = "adversarial"
"""The key of the configuration; its figures are logged as adversarial/NAME."""


class NetworkConfig(Config):
    """How the generator or the discriminator is trained."""

    optimizer: NetworkOptimizerConfig = NetworkOptimizerConfig()
    schedule: ScheduleConfig = Field(
        ScheduleConfig(name="constant", warmup_epochs=0.0),
        description="epochs are counted from the end of the pre-training",
    )


class AdversarialConfig(Config):
    """Adversarial hard-triplet generation; the embedder's optimizer is that of the training.

    Zhao et al. publish none of the values (our choice). The pre-training alone (`pretraining` 1) is
    the plain training by triplets and heads.
    """

    pretraining: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the updates that train by mined triplets and heads only; 1: all",
    )
    pretraining_updates: int = Field(
        0,
        ge=0,
        description="the last updates of the pre-training, in which G and D learn already",
    )
    mining: Mining = Field("batch_hard", description="which triplets of the batch are taken")
    margin: float = Field(
        0.2, ge=0, description="m of every triplet loss, in squared distances of unit vectors"
    )
    beta: float = Field(0.3, ge=0, description="weight of generated features in L_D")
    gamma: float = Field(0.1, ge=0, description="weight of keeping the identity in L_G")
    mu: float = Field(1.0, ge=0, description="weight of the sum of heads in L_F")
    last_activation: Literal["relu", "none"] = Field(
        "relu",
        description="after the generator's last layer; relu, the paper's, can only raise "
        "coordinates",
    )
    generator_start: Literal["random", "identity"] = Field(
        "random",
        description="G at first; identity: features as they are, needs last_activation none",
    )
    without_discriminator: bool = Field(
        False, description="ablation: no D, so that L_G is its triplet loss alone"
    )
    generator: NetworkConfig = NetworkConfig(optimizer=NetworkOptimizerConfig(lr=3e-4))
    discriminator: NetworkConfig = NetworkConfig(optimizer=NetworkOptimizerConfig(lr=1e-2))

    @model_validator(mode="after")
    def _learns(self) -> Self:
        if self.generator_start == "identity" and self.last_activation == "relu":
            raise ValueError(
                "generator_start 'identity' needs last_activation 'none': a ReLU at 0 has no "
                "gradient, and the generator would never learn"
            )
        return self

    def first_update(self, updates: int) -> int:
        """Return the number, from 0, of the update in which F first learns through G."""
        return round(self.pretraining * updates)

    def resized(self, before: int, now: int) -> "AdversarialConfig":
        """Return the configuration of a training of `now` updates instead of `before`.

        The pre-training ends after the same update; a share of 0 or 1 stays.
        """
        if not 0 < self.pretraining < 1:
            return self
        share = min(1.0, self.first_update(before) / now)
        return self.model_copy(update={"pretraining": share})

    def schedules(self, epochs: int) -> list[tuple[str, ScheduleConfig, float]]:
        """Return key, schedule and epochs of each network in a training of so many epochs."""
        left = epochs * (1 - self.pretraining)
        return [
            (f"{NAME}.generator.schedule", self.generator.schedule, left),
            (f"{NAME}.discriminator.schedule", self.discriminator.schedule, left),
        ]
