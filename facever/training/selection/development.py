"""The figures on development identities by which every choice of a training is made."""

import numpy as np
import torch

from facever.core.processes import from_main, gather_objects, is_main, rank, world
from facever.data.acquisition import OnError
from facever.data.loading import plain_batches
from facever.data.manifest import Manifest
from facever.evaluation.one_to_one.verification import verification
from facever.heads.base import Metric
from facever.models.embedder import Embedder
from facever.training.computing.precision import Precision
from facever.training.supervision.attributes import AttributeHeads

FARS = (1e-2, 1e-3)  # of the log; development people seldom support smaller ones


class Development:
    """All pairs of the development images, scored as the head's metric wants it."""

    def __init__(
        self,
        manifest: Manifest,
        metric: Metric,
        precision: Precision,
        batch_size: int,
        on_error: OnError,
        attributes: AttributeHeads,
    ) -> None:
        self.manifest, self._attributes = manifest, attributes
        self._metric, self._precision = metric, precision
        self._batch_size, self._on_error = batch_size, on_error

    def evaluate(self, embedder: Embedder) -> dict[str, float | None]:
        """Return auc, eer and tar@FAR; None where the trials cannot support the FAR.

        And the accuracies of attributes, where there are heads that learn some. The processes share
        the images; the first one compares them.
        """
        parts = gather_objects(self.embed(embedder, rank(), world()))
        if not is_main():
            return from_main({})
        embeddings, rows = (np.concatenate(pieces) for pieces in zip(*parts, strict=True))
        identities = self.manifest.frame["identity"].to_numpy()[rows]
        norms = np.maximum(np.linalg.norm(embeddings, axis=1), 1e-12)
        columns = {"vectors": embeddings / norms[:, None], "identity": identities, "norm": norms}
        result = verification(columns, far=FARS, similarity=self._metric)
        reached = {float(point.far_target): point.tar for point in result.operating_points}
        rates = {_tar_name(far): reached.get(far) for far in FARS}
        told = self._attributes.figures(embeddings, rows)
        figures = {"auc": result.auc.value, "eer": result.eer.value, **rates, **told}
        return from_main(figures)

    def embed(
        self, embedder: Embedder, part: int = 0, parts: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the embeddings [N, D], not normalised, and the rows of the images, int64 [N].

        Args:
            embedder: The model; it stays in evaluation mode.
            part: Which of the parts; whole batches, so that together they are what one gives.
            parts: How many there are.
        """
        batches = -(-len(self.manifest) // self._batch_size)
        first, last = (batches * (part + i) // parts for i in (0, 1))
        vectors: list[np.ndarray] = [np.empty((0, embedder.embedding_size), np.float32)]
        kept: list[np.ndarray] = [np.empty(0, np.int64)]
        embedder.eval()
        with torch.inference_mode(), self._precision.autocast():
            loaded = plain_batches(
                self.manifest,
                embedder.preprocessing,
                batch_size=self._batch_size,
                workers=0,
                on_error=self._on_error,
                runs=[
                    range(len(self.manifest))[first * self._batch_size : last * self._batch_size]
                ],
                to_gpu=self._precision.device.type == "cuda",
            )
            for batch in loaded:
                images = batch.images.to(self._precision.device)
                vectors.append(embedder(images).float().cpu().numpy())
                kept.append(batch.indices.numpy())
        return np.concatenate(vectors), np.concatenate(kept)


def better(figure: str, new: dict[str, float | None], best: float | None) -> bool:
    """Return whether `new` beats the best value so far; a refused figure never does."""
    value = new[figure]
    if value is None:
        return False
    if best is None:
        return True
    return value < best if figure == "eer" else value > best


def _tar_name(far: float) -> str:
    return f"tar@{far:.0e}".replace("e-0", "e-")
