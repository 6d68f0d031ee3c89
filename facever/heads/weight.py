"""The weight of a head in the sum of heads: a number, or a schedule."""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from facever.config import Config


class WeightSchedule(Config):
    """A weight that changes from `start` to `end`, and is constant afterwards."""

    start: float = Field(ge=0, description="weight of the first update")
    end: float = Field(ge=0, description="weight from the last update of the schedule on")
    epochs: float | None = Field(
        None, gt=0, le=1e6, description="length in epochs; or give updates"
    )
    updates: int | None = Field(None, ge=1, description="length in updates; or give epochs")
    shape: Literal["linear", "cosine"] = Field(
        "linear", description="a straight line, or half a cosine wave: flat at both ends"
    )

    @model_validator(mode="after")
    def _one_length(self) -> "WeightSchedule":
        if (self.epochs is None) == (self.updates is None):
            raise ValueError("a weight schedule takes either epochs or updates")
        if self.start == self.end:
            raise ValueError(f"start and end are both {self.start:g}: write weight: {self.start:g}")
        return self

    def length(self, updates_per_epoch: int | None) -> int:
        """Return the number of updates until the weight is `end`, 1 or more.

        Raises:
            ValueError: The length is in epochs and `updates_per_epoch` is None.
        """
        if self.updates is not None:
            return self.updates
        if updates_per_epoch is None or self.epochs is None:
            raise ValueError("a weight schedule in epochs needs updates_per_epoch")
        return max(1, round(self.epochs * updates_per_epoch))

    def at(self, position: Tensor, length: int) -> Tensor:
        """Return the weight after `position` updates (floating point, 0-d) of `length`."""
        done = (position / length).clamp(max=1)
        if self.shape == "cosine":
            done = (1 - torch.cos(math.pi * done)) / 2
        return self.start + (self.end - self.start) * done


Weight = Annotated[float, Field(gt=0)] | WeightSchedule
