"""Softmax along a tree of identities: cost by the depth of the tree, not by its leaves."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from facever.heads.base import Head, HeadConfig, HeadOutput, mean_norm
from facever.heads.classes.losses import SMALLEST_GRADIENT
from facever.heads.registry import register


@register
class HierarchicalSoftmax(Head):
    """Cross-entropy of a product of decisions along the path to the identity. No prototypes.

    The vectors of this head belong to the forks of a tree, none of them to an identity: there is
    no vector to compare an embedding with.

    `binary`: p(y | x) = prod over the path of sigmoid(+-v_n . x), about log2 C decisions in a
    balanced tree over the identities as they are numbered. No order of them is better than another.

    `adaptive`: PyTorch's AdaptiveLogSoftmaxWithLoss, where frequent identities have short paths and
    rare ones fewer dimensions. It serves only where the labels are in order of frequency, the most
    frequent first. facever numbers identities in the order of their names, so that the names must
    say it (0001 the most frequent); with other labels arbitrary identities get fewer dimensions.
    The first twentieth is the short list, the next fifth and the rest are its clusters: our choice.
    On a CPU its saturated batches take about twice the time: denormals inside PyTorch's function.

    Reference:
        Morin and Bengio, Hierarchical Probabilistic Neural Network Language Model, AISTATS 2005;
        Grave et al., Efficient softmax approximation for GPUs, ICML 2017.
    """

    class Config(HeadConfig):
        """Parameters of `hierarchical_softmax`."""

        name: Literal["hierarchical_softmax"] = "hierarchical_softmax"
        tree: Literal["binary", "adaptive"] = Field(
            "binary", description="balanced; or by frequency, for labels in that order"
        )

    paper = "Morin and Bengio, AISTATS 2005; adaptive: Grave et al., ICML 2017"
    config: Config

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        kind = BinaryTree if config.tree == "binary" else AdaptiveTree
        self.tree = kind(identities, embedding_size)

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the mean of -log p of the labels."""
        log_probability = self.tree(embeddings, labels)
        stats = {
            "target_probability": log_probability.detach().exp().mean(),
            "embedding_norm": mean_norm(embeddings),
        }
        return HeadOutput(-log_probability.mean(), stats)

    def loss_at_chance(self) -> float:
        """Return log C."""
        return math.log(self.identities)


class BinaryTree(nn.Module):
    """A balanced binary tree, laid out as a heap: fork n has the children 2n and 2n + 1.

    The forks are 1..C-1 and the leaves C..2C-1, so that identity j is leaf C + j, and the bits of
    that number are its path from the root.
    """

    def __init__(self, identities: int, embedding_size: int) -> None:
        super().__init__()
        self.identities = identities
        self.depth = (2 * identities - 1).bit_length() - 1
        self.forks = nn.Parameter(torch.empty(identities - 1, embedding_size))
        nn.init.normal_(self.forks, std=embedding_size**-0.5)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return log p of each label [B]."""
        nodes = (labels + self.identities)[:, None] >> torch.arange(
            self.depth + 1, device=labels.device
        )
        children, forks = nodes[:, :-1], nodes[:, 1:]
        absent = forks == 0  # above the root, for leaves that are not the deepest
        vectors = F.embedding((forks - 1).clamp_min(0), self.forks.to(embeddings.dtype))
        right = (vectors @ embeddings[:, :, None])[:, :, 0]
        _clean_gradients(None, None, right)
        towards = torch.where(children % 2 == 1, right, -right)
        return F.logsigmoid(towards).masked_fill(absent, 0.0).sum(1)


class AdaptiveTree(nn.Module):
    """PyTorch's adaptive softmax; labels in order of frequency."""

    def __init__(self, identities: int, embedding_size: int) -> None:
        super().__init__()
        identities = max(identities, 2)  # PyTorch's takes no fewer; the second stays without images
        cutoffs = {min(max(1, identities // part), identities - 1) for part in (20, 4)}
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(
            embedding_size,
            identities,
            sorted(cutoffs),
            div_value=4.0 if embedding_size >= 16 else 1.0,  # each cluster keeps a dimension
        )
        for layer in self.softmax.modules():
            if isinstance(layer, nn.Linear):
                layer.register_forward_hook(_clean_gradients)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return log p of each label [B]."""
        own = {key: value.to(embeddings.dtype) for key, value in self.softmax.named_parameters()}
        output = torch.func.functional_call(self.softmax, own, (embeddings, labels)).output
        # Clusters that no label is in are left out by PyTorch: they get a gradient of 0, not none.
        log_probability: Tensor = output + 0.0 * sum(value[0, 0] for value in own.values())
        return log_probability


def _clean_gradients(_module: object, _inputs: object, logits: Tensor) -> None:
    """Set small gradients of logits to zero: denormals would slow the products down."""
    if logits.requires_grad:
        logits.register_hook(lambda gradient: F.hardshrink(gradient, SMALLEST_GRADIENT))  # type: ignore[no-untyped-call]
