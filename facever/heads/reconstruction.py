"""Reconstruction: a small decoder that draws the image, as a thumbnail, from its embedding."""

import math
from itertools import pairwise
from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from facever.heads.base import Head, HeadConfig, HeadOutput, mean_norm
from facever.heads.classes.vectors import normalize
from facever.heads.registry import register

_FIRST = 4  # pixels of the decoder's first map


@register
class Reconstruction(Head):
    """Difference between the image's thumbnail and the one that a decoder draws.

    The decoder takes the direction of the embedding: a linear layer to a map of 4 x 4, transposed
    convolutions that double it, a last convolution and a sigmoid. The loss is the mean over pixels
    and channels, values 0..1. It is discarded after the training.

    Reference:
        Hinton and Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks, Science
        2006. The decoder's layout, and to draw thumbnails only are our choices.
    """

    class Config(HeadConfig):
        """Parameters of `reconstruction`."""

        name: Literal["reconstruction"] = "reconstruction"
        size: Literal[8, 16, 32, 64] = Field(16, description="side of the thumbnail in pixels")
        loss: Literal["mse", "l1"] = Field(
            "mse", description="squared or absolute difference of pixel values in 0..1"
        )
        channels: int = Field(
            64,
            ge=1,
            le=4096,
            description="channels of the decoder's first map, halved at each doubling",
        )

    beside = "thumbnails"
    paper = "Hinton and Salakhutdinov, Science 2006 (autoencoder); the decoder is our choice"
    config: Config

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        doublings = int(math.log2(config.size // _FIRST))
        widths = [max(4, config.channels >> step) for step in range(doublings + 1)]
        layers: list[nn.Module] = [
            nn.Linear(embedding_size, widths[0] * _FIRST**2),
            nn.Unflatten(1, (widths[0], _FIRST, _FIRST)),
        ]
        for here, there in pairwise(widths):
            layers += [nn.SiLU(), nn.ConvTranspose2d(here, there, 4, stride=2, padding=1)]
        layers += [nn.SiLU(), nn.Conv2d(widths[-1], 3, 3, padding=1), nn.Sigmoid()]
        self.decoder = nn.Sequential(*layers)

    @property
    def target_shape(self) -> tuple[int, ...]:
        """Channels, height and width of a thumbnail."""
        return (3, self.config.size, self.config.size)

    def draw(self, embeddings: Tensor) -> Tensor:
        """Return thumbnails [B, 3, size, size] of values 0..1; embeddings [B, D] of any length."""
        inner = normalize(embeddings) * self.embedding_size**0.5
        drawn: Tensor = self.decoder(inner.to(next(self.decoder.parameters()).dtype))
        return drawn.to(embeddings.dtype)

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the mean difference from the thumbnails [B, 3, size, size] in `labels`."""
        drawn, wanted = self.draw(embeddings), labels.to(embeddings.dtype)
        difference = F.mse_loss if self.config.loss == "mse" else F.l1_loss
        return HeadOutput(
            difference(drawn, wanted),
            stats={
                "pixel_error": F.l1_loss(drawn.detach(), wanted),
                "embedding_norm": mean_norm(embeddings),
            },
        )

    def no_weight_decay(self) -> set[str]:
        """Return the names of the biases."""
        return {name for name, value in self.named_parameters() if value.ndim < 2}
