"""Backbones of a user's own, some of which cannot be exported."""

import torch
from torch import Tensor, nn


class Plain(nn.Module):
    """Averages after a convolution; exports."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 8, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images)


class Branch(nn.Module):
    """Asks for a value while it computes."""

    def forward(self, features: Tensor) -> Tensor:
        if features.sum() > 0:
            return features
        return -features


class Branching(Plain):
    """Its second module cannot be exported."""

    def __init__(self) -> None:
        super().__init__()
        self.second = Branch()

    def forward(self, images: Tensor) -> Tensor:
        return self.second(self.layer(images))


class Fixed(Plain):
    """Its batch size becomes a constant."""

    def forward(self, images: Tensor) -> Tensor:
        features = self.layer(images)
        return torch.stack([features[i] for i in range(int(features.shape[0]))])


class Mixing(Plain):
    """An image's features depend on the others of its batch."""

    def forward(self, images: Tensor) -> Tensor:
        features = self.layer(images)
        return features - features.mean(0, keepdim=True) / 2


class Conditional(Plain):
    """Has graphs within its graph: a condition of torch."""

    def forward(self, images: Tensor) -> Tensor:
        features = self.layer(images)
        return torch.cond(features.sum() > 0, torch.sin, torch.cos, (features,))
