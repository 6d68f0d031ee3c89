"""The discriminator: tells identities apart, and generated features from all of them."""

from typing import cast

import torch
from torch import Tensor, nn

from facever.training.htg.generator import layer


class Discriminator(nn.Module):
    """Four fully connected layers: three with BatchNorm and ReLU, the last gives K + 1 logits.

    Class K, the last, is "generated". The hidden layers are as wide as the features (our choice:
    the paper does not say).

    Args:
        size: L, components of an embedding.
        identities: K.

    Reference:
        Zhao et al., An Adversarial Approach to Hard Triplet Generation, ECCV 2018, section 3.
    """

    def __init__(self, size: int, identities: int) -> None:
        super().__init__()
        hidden = [part for _ in range(3) for part in layer(size, size)]
        self.layers = nn.Sequential(*hidden, nn.Linear(size, identities + 1))

    def forward(self, features: Tensor) -> Tensor:
        """Return logits [B, K + 1] of features [B, L], not normalised."""
        with torch.autocast(features.device.type, enabled=False):
            return cast(Tensor, self.layers(features))
