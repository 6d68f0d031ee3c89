"""Several heads as one: the weighted sum of their losses."""

from collections.abc import Iterable

from torch import Tensor, nn

from facever.errors import ConfigError
from facever.heads.base import Head, HeadOutput, Metric
from facever.heads.prototypes import Prototypes


class WeightedSum(nn.Module):
    """The sum of `weight * loss` over heads; what it declares is the first head's or the most.

    Args:
        heads: One or more; the first is the one that verification follows.

    Attributes:
        metric: The first head's.
        images_per_identity: The most that any of the heads needs.
        prototypes: Those of the first head that has some.

    Raises:
        ConfigError: No head at all.
    """

    def __init__(self, heads: Iterable[Head]) -> None:
        super().__init__()
        self.heads = list(heads)
        if not self.heads:
            raise ConfigError("a training needs at least one head")
        self.names = _distinct([head.name for head in self.heads])
        self.parts = nn.ModuleDict(dict(zip(self.names, self.heads, strict=True)))
        self.metric: Metric = self.heads[0].metric
        self.images_per_identity = max(head.images_per_identity for head in self.heads)

    @property
    def prototypes(self) -> Prototypes | None:
        """The prototypes of the first head that has some."""
        return next((head.prototypes for head in self.heads if head.prototypes is not None), None)

    def forward(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the summed loss, the first head's logits, and stats named "head/stat".

        With several heads each one's unweighted loss is among the stats, as "head/loss".
        """
        outputs = [head(embeddings, labels) for head in self.heads]
        weighted = [h.config.weight * out.loss for h, out in zip(self.heads, outputs, strict=True)]
        logits = next((output.logits for output in outputs if output.logits is not None), None)
        stats: dict[str, Tensor] = {}
        for name, output in zip(self.names, outputs, strict=True):
            if len(outputs) > 1:
                stats[f"{name}/loss"] = output.loss.detach()
            stats.update({f"{name}/{stat}": value for stat, value in output.stats.items()})
        return HeadOutput(sum(weighted[1:], start=weighted[0]), logits, stats)

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters that must not be decayed."""
        return {
            f"parts.{name}.{parameter}"
            for name, head in zip(self.names, self.heads, strict=True)
            for parameter in head.no_weight_decay()
        }

    def step_completed(self) -> None:
        """Tell each head that an optimizer step is done."""
        for head in self.heads:
            head.step_completed()


def _distinct(names: list[str]) -> list[str]:
    """Number the repetitions: center, center_2, ..."""
    return [
        name if (count := names[: i + 1].count(name)) == 1 else f"{name}_{count}"
        for i, name in enumerate(names)
    ]
