"""Softmax over radial basis functions of the distances to the prototypes."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from facever.core.console import warn
from facever.core.processes import all_sum, gather
from facever.heads.base import Head, HeadConfig, HeadOutput, Metric, mean_norm
from facever.heads.classes.scores import kernel_scores
from facever.heads.classes.similarities import squared_distances
from facever.heads.classes.vectors import Prototypes, blocks, normalize
from facever.heads.common.history import HeadHistory
from facever.heads.common.quantile import median_of
from facever.heads.registry import register

GAMMA_UPDATES = 200
_FOLLOWING = 0.1
"""Share of the newest update in the gamma that follows."""
_SAMPLE = 256
"""Prototypes whose distances make that gamma; the median over so few is found in one tensor."""
DEAD_START = 10.0
"""Mean d^2 / gamma above which almost nothing is learned: e^-10 is 5e-5."""


@register
class RBF(Head):
    """Cross-entropy of z_j = s K_j, where K_j = exp(-|x - W_j|^2 / gamma).

    Neither bias nor normalisation; K is in (0, 1], so that s bounds what the loss can reach. With
    gamma far below the squared distances K is 0 everywhere and nothing is learned. By default
    gamma is the median squared distance of the first batch, follows those of the next batches
    (embeddings grow behind a neck without BatchNorm), and is constant afterwards. A fixed gamma
    that is too small is reported at the first batch.

    Reference:
        Zhang et al., RBF-Softmax: Learning Deep Representative Prototypes with Radial Basis
        Function Softmax, ECCV 2020. Gamma from the data and normalised embeddings are our choice.
    """

    class Config(HeadConfig):
        """Parameters of `rbf`."""

        name: Literal["rbf"] = "rbf"
        scale: float = Field(14.0, gt=0, description="s, factor of K: larger is easier")
        gamma: Annotated[float, Field(gt=0)] | Literal["following", "median"] = Field(
            "following",
            description="width of K: a number; following: the median squared distance of the "
            "batches of the first gamma_updates updates; median: of the first batch alone",
        )
        gamma_updates: int = Field(
            GAMMA_UPDATES, ge=1, description="updates in which gamma follows the batches"
        )
        normalize: bool = Field(
            False, description="embeddings of length 1; verification then compares by cosine"
        )

        def risk_without_norm(self) -> str | None:
            """See HeadConfig."""
            if self.gamma == "following" or self.normalize:
                return None
            return (
                "embeddings may move so far from a gamma that does not follow them that the "
                "gradient vanishes, with the loss at log C; change to gamma: following"
            )

    metric: Metric = "euclidean"
    arrangeable = True
    paper = "Zhang et al., RBF-Softmax, ECCV 2020: z_j = s exp(-|x - W_j|^2 / gamma)"
    config: Config
    data_gamma: Tensor
    followed: Tensor

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        bound = math.sqrt(6 / (identities + embedding_size))  # Xavier's
        self.prototypes: Prototypes = Prototypes(identities, embedding_size, bound)
        if config.normalize:
            self.metric = "cosine"
        self.register_buffer("data_gamma", torch.tensor(torch.nan))
        if config.gamma == "following":
            self.register_buffer("followed", torch.tensor(0))
        self._medians: list[Tensor] = []  # of this update; gamma changes after it
        self._updates: int | None = None  # what `followed` holds, read once
        self._started = False
        self.register_load_state_dict_post_hook(_start_again)  # type: ignore[no-untyped-call]

    @property
    def gamma(self) -> Tensor:
        """The width of K; NaN until the first batch where it comes from the data."""
        if isinstance(self.config.gamma, str):
            return self.data_gamma
        return self.data_gamma.new_tensor(self.config.gamma)

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the mean cross-entropy of s K."""
        x = normalize(embeddings) if self.config.normalize else embeddings
        self._look(x.detach(), self.prototypes.weight.detach().to(x.dtype))
        gamma = self.gamma.to(x.dtype)
        scores = kernel_scores(self.prototypes.rows(labels), x, self.config.scale, gamma)
        loss = scores.softmax_loss()
        count, norms, squares = scores.watched[:3]
        with torch.no_grad():
            means = x.mean(0) @ (scores.watched[3:] / count)
            distance = x.square().sum(1).mean() + squares / count - 2 * means
        right = scores.target > scores.hardest
        stats = {
            "accuracy": right.to(loss.dtype).mean(),
            "distance_over_gamma": distance / gamma,
            "embedding_norm": mean_norm(embeddings),
            "prototype_norm": norms / count,
            "scale": loss.new_tensor(self.config.scale),
        }
        return HeadOutput(loss, stats)

    def loss_at_chance(self) -> float:
        """Return log C."""
        return math.log(self.identities)

    def own_alarms(self, figures: HeadHistory) -> dict[str, str]:
        """Report distances so large that no gradient comes back."""
        distance = figures.now("distance_over_gamma")
        if distance is None or distance <= DEAD_START:
            return {}
        return {
            "dead-start": f"the mean squared distance to the prototypes is {distance:.3g} times "
            "gamma: the kernel and its gradient vanish, and the head cannot learn. Use gamma: "
            "following, a larger gamma, or normalize: true"
        }

    def absent(self) -> None:
        """See Head: set gamma from the images of the other processes."""
        weight = self.prototypes.weight.detach()
        self._look(weight[:0], weight)

    def step_completed(self) -> None:
        """Update a gamma that follows the batches; the first batch sets it."""
        if self._follows:
            if self._medians:
                newest = torch.stack(self._medians).mean()
                self.data_gamma.lerp_(newest.to(self.data_gamma), _FOLLOWING)
            self.followed += 1
            self._updates = self._done() + 1
        self._medians = []

    @property
    def _follows(self) -> bool:
        return self.config.gamma == "following" and self._done() < self.config.gamma_updates

    def _done(self) -> int:
        """Return the updates that gamma has followed, without waiting for an accelerator."""
        if self._updates is None:
            self._updates = int(self.followed)
        return self._updates

    def _look(self, x: Tensor, weight: Tensor) -> None:
        """Set or check gamma at the first batch; collect the medians that gamma follows."""
        if not self._started and self._start(x, weight):
            return
        if self.training and self._follows:
            step = max(1, -(-self.identities // _SAMPLE))
            x = x if self.whole_batch else gather(x.to(weight.dtype))
            self._medians.append(self._median(x, weight[::step]))

    def _start(self, x: Tensor, weight: Tensor) -> bool:
        """Set gamma from the first batch of all processes, or warn where a fixed one is too small.

        Returns:
            Whether gamma was set.
        """
        self._started = True
        x = x if self.whole_batch else gather(x.to(weight.dtype))
        sharded = self.prototypes.layout.stored == "sharded"
        if not isinstance(self.config.gamma, str):
            ratio = float(_mean_distance(x, weight, sharded) / self.gamma)
            if ratio > DEAD_START:
                warn(
                    f"head '{self.name}': the squared distances of the first batch are {ratio:.0f} "
                    f"times gamma {self.config.gamma:g} on average, so K is near 0 for every "
                    "identity and hardly anything is learned: use gamma: following, or normalize: "
                    "true"
                )
        elif self.data_gamma.isnan():
            self.data_gamma.copy_(self._median(x, weight))
            return True
        return False

    def _median(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return the median squared distance of a batch to prototypes, of all processes."""

        def parts() -> Iterator[Tensor]:
            for part in blocks(len(weight), max(x.shape), x.device):
                yield squared_distances(x, weight[part])

        sharded = self.prototypes.layout.stored == "sharded"
        if not sharded and len(x) and len(weight) <= _SAMPLE:
            return squared_distances(x, weight).median().clamp_min(1e-6)
        median = median_of(parts, x, all_sum if sharded else lambda counts: counts)
        return median.clamp_min(1e-6)


def _mean_distance(x: Tensor, weight: Tensor, sharded: bool) -> Tensor:
    """Return the mean of |x_i - W_j|^2: |x|^2 + |W|^2 - 2 x.W, each a mean."""
    count = weight.new_tensor([len(weight)])
    sums = torch.cat([count, weight.square().sum()[None], weight.sum(0)])
    means = (all_sum(sums) if sharded else sums)[1:] / sums[0]
    mean: Tensor = x.square().sum(1).mean() + means[0] - 2 * (x.mean(0) @ means[1:])
    return mean


def _start_again(head: nn.Module, _: object) -> None:
    """Check gamma again after a state has been loaded."""
    assert isinstance(head, RBF)
    head._started, head._updates, head._medians = False, None, []
