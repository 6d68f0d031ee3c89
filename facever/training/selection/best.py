"""Which weights of a run are the best on its development identities, and the model made of them."""

from timm.utils import ModelEmaV3

from facever.core.console import say
from facever.core.processes import is_main
from facever.data.manifest import Manifest
from facever.heads.base import Metric
from facever.heads.weighted_sum import WeightedSum
from facever.models.embedder import Embedder
from facever.models.saving import save_embedder
from facever.training.computing.precision import Precision
from facever.training.config import TrainConfig
from facever.training.run import MetricsLog, Run
from facever.training.saving.checkpoint import load_checkpoint, save_checkpoint
from facever.training.saving.position import Position
from facever.training.selection.development import Development, better
from facever.training.supervision.attributes import AttributeHeads


class BestWeights:
    """Evaluates a run's weights, keeps the best, and exports them.

    Args:
        config: Of the run.
        run: Its folder.
        embedder: The model in training.
        average: The moving average of its weights, where there is one.
        heads: Of the training; those of attributes are evaluated and exported too.
        identities: The development identities; None: the last weights, averaged ones first, are
            those to export.
        metric: What embeddings are compared by.
        precision: Of the forward pass.
    """

    def __init__(
        self,
        config: TrainConfig,
        run: Run,
        embedder: Embedder,
        average: ModelEmaV3 | None,
        heads: WeightedSum,
        identities: Manifest | None,
        metric: Metric,
        precision: Precision,
    ) -> None:
        self._config, self._run, self._metric = config, run, metric
        self._embedder, self._average = embedder, average
        self._attributes = AttributeHeads(heads, identities)
        self._development: Development | None = None
        if identities is not None:
            self._development = Development(
                identities,
                metric,
                precision,
                batch_size=256,
                on_error=config.data.on_error,
                attributes=self._attributes,
            )

    def evaluate(self, position: Position, log: MetricsLog) -> None:
        """Look at the development identities; keep the weights when they are the best so far."""
        if self._development is None:
            return
        figure = self._config.best_by
        candidates = {"raw": self._embedder}
        if self._average is not None:
            candidates["ema"] = self._average.module
        position.since_best += 1
        for weights, candidate in candidates.items():
            figures = self._development.evaluate(candidate)
            log.write(
                "development",
                position.update,
                {"epoch": position.epoch, "weights": weights, **figures},
            )
            is_best = better(figure, figures, position.best)
            say(
                f"epoch {position.epoch}/{self._config.epochs}, development ({weights}): "
                + ", ".join(
                    f"{name} {value:.4f}"
                    for name, value in figures.items()
                    if value is not None and name.count("/") < 2
                )
                + (" *" if is_best else "")
            )
            if is_best:
                position.best, position.best_weights = figures[figure], weights
                position.since_best = 0
                self._keep(candidate, position.epoch)

    def out_of_patience(self, position: Position) -> bool:
        """Return whether nothing has got better for `patience` evaluations."""
        patience = self._config.patience
        return patience is not None and position.since_best >= patience

    def why_stopped(self, position: Position) -> str:
        """Return why the training ends before its last epoch, in a line."""
        config = self._config
        best = "it could not be measured"
        if position.best is not None:
            epoch = position.epoch - position.since_best * config.evaluate_every
            best = f"best {position.best:.4f}, after epoch {epoch}"
        return (
            f"stopped early after epoch {position.epoch} of {config.epochs}: no better "
            f"development {config.best_by} in {position.since_best} evaluations (patience "
            f"{config.patience}); {best}"
        )

    def export(self) -> None:
        """Write model.safetensors from the best weights, else from the averaged or last ones."""
        if self._run.best.is_file():
            best = load_checkpoint(self._run.best)
            self._embedder.load_state_dict(best["embedder"])
            self._attributes.load_state_dict(best.get("attributes", {}))
        elif self._average is not None:
            self._embedder.load_state_dict(self._average.module.state_dict())
        self._embedder.eval()
        model_hash = save_embedder(self._embedder, self._run.model, metric=self._metric)
        if self._attributes:
            development = self._development
            embedded = None if development is None else development.embed(self._embedder)
            self._attributes.export(self._run, model_hash, embedded)

    def _keep(self, candidate: Embedder, epoch: int) -> None:
        if is_main():
            save_checkpoint(
                self._run.best,
                {
                    "embedder": candidate.state_dict(),
                    "attributes": self._attributes.state_dict(),
                    "epoch": epoch,
                },
            )
