"""How the prototypes are held and compared with: whole or in shards, all or a sample of them."""

from typing import Literal

from pydantic import Field
from torch import Tensor

from facever.config import Config
from facever.core.processes import rank, world


class PrototypesConfig(Config):
    """How a training holds the prototypes of its heads; the loss is the same where all take part.

    Reference:
        Shards and their sampling: An et al., Killing Two Birds with One Stone: Efficient and Robust
        Training of Face Recognition CNNs by Partial FC, CVPR 2022. The filter: its section on
        label noise between classes; that a filtered identity is left out is our choice.
    """

    stored: Literal["whole", "sharded"] = Field(
        "whole", description="whole on each process; sharded: each process holds C / N identities"
    )
    logits: Literal["kept", "streamed"] = Field(
        "kept", description="streamed: computed again in the backward pass, not stored"
    )
    sampled: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the identities that a step compares with: the batch's own, and "
        "random others up to it",
    )
    noise_filter: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="cosine above which another identity is suspected to be the same person under "
        "two labels, and left out of that image's loss; cosine heads only",
    )

    @property
    def plain(self) -> bool:
        """Whether this is the default layout."""
        return self == PrototypesConfig()


def shard_of(identities: int) -> tuple[int, int]:
    """Return the first identity that this process holds and how many: ceil(C / N), or what is left.

    As `torch.chunk` and DTensor's Shard(0) cut them; the last processes may have none.
    """
    size = -(-identities // world())
    first = min(rank() * size, identities)
    return first, min(first + size, identities) - first


def is_sharded(parameter: Tensor) -> bool:
    """Return whether each process holds another part of a parameter; see `Head.arrange`."""
    return hasattr(parameter, "shard_of")
