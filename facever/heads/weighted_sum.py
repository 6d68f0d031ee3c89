"""Several heads as one: the weighted sum of their losses."""

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from facever.errors import ConfigError, TrainingError
from facever.heads.base import Head, HeadOutput, Metric
from facever.heads.prototypes import Prototypes


class WeightedSum(nn.Module):
    """The sum of `weight * loss` over heads; what it declares is the first head's or the most.

    Args:
        heads: One or more; verification follows the first one that learns from labels.

    Attributes:
        names: The heads' names, made distinct: center, center_2, ...
        metric: Of the first head that learns from labels, else of the first.
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
        leading = next((head for head in self.heads if head.beside is None), self.heads[0])
        self.metric: Metric = leading.metric
        self.images_per_identity = max(head.images_per_identity for head in self.heads)

    @property
    def prototypes(self) -> Prototypes | None:
        """The prototypes of the first head that has some."""
        return next((head.prototypes for head in self.heads if head.prototypes is not None), None)

    def forward(
        self, embeddings: Tensor, labels: Tensor, targets: Mapping[str, Tensor] | None = None
    ) -> HeadOutput:
        """Return the summed loss, the first logits there are, and stats named "head/stat".

        With several heads each one's unweighted loss is among the stats, as "head/loss".

        Args:
            embeddings: [B, D], as for each head.
            labels: int64 [B].
            targets: By the name of the head, what each head that declares `beside` learns from.

        Raises:
            TrainingError: No targets for a head that needs them; and what the heads refuse.
        """
        given = {} if targets is None else targets
        outputs = [
            head(embeddings, labels if head.beside is None else self._target(name, given))
            for name, head in zip(self.names, self.heads, strict=True)
        ]
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

    def _target(self, name: str, targets: Mapping[str, Tensor]) -> Tensor:
        if name not in targets:
            raise TrainingError(
                f"head '{name}' learns from {self.parts[name].beside}, and none were given for it"
            )
        return targets[name]


def _distinct(names: list[str]) -> list[str]:
    """Number the repetitions: center, center_2, ..."""
    return [
        name if (count := names[: i + 1].count(name)) == 1 else f"{name}_{count}"
        for i, name in enumerate(names)
    ]
