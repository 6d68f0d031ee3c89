"""The generator: moves the features of a triplet so that the triplet becomes hard."""

from itertools import pairwise
from typing import Literal, cast

import torch
from torch import Tensor, nn

from facever.errors import ConfigError
from facever.training.htg.normalization import BatchNorm


class Generator(nn.Module):
    """G(x) = x + G'(x), with G' four fully connected layers L -> L/2 -> L/4 -> L/2 -> L.

    BatchNorm and ReLU follow each. The ReLU on the last lets G raise coordinates only; "none"
    leaves it out. The widths are our choice: the paper says that two layers reduce and two expand.

    Args:
        size: L, components of an embedding, 4 or more.
        last_activation: What follows the last BatchNorm.
        start: "random", or "identity": the weights of the last BatchNorm are 0, so that G(x) = x at
            first (our choice; an untrained random G moves features by about 0.7 of their length).

    Raises:
        ConfigError: L is below 4.

    Reference:
        Zhao et al., An Adversarial Approach to Hard Triplet Generation, ECCV 2018, section 3.
    """

    def __init__(
        self,
        size: int,
        last_activation: Literal["relu", "none"] = "relu",
        start: Literal["random", "identity"] = "random",
    ) -> None:
        super().__init__()
        if size < 4:
            raise ConfigError(
                f"adversarial training needs embeddings of 4 components or more, not {size}: set "
                "model.embedding_size"
            )
        widths = [size, size // 2, size // 4, size // 2, size]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += layer(before, after)
        if start == "identity":
            nn.init.zeros_(cast(BatchNorm, layers[-2]).weight)
        self.offset = nn.Sequential(*(layers if last_activation == "relu" else layers[:-1]))

    def forward(self, features: Tensor) -> Tensor:
        """Return generated features [B, L] of features [B, L], not normalised."""
        with torch.autocast(features.device.type, enabled=False):
            return features + cast(Tensor, self.offset(features))


def layer(before: int, after: int) -> list[nn.Module]:
    """Return Linear, BatchNorm and ReLU. BatchNorm has the bias."""
    return [nn.Linear(before, after, bias=False), BatchNorm(after), nn.ReLU()]
