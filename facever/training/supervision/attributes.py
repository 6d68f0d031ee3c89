"""The attribute heads of a training: judged on the development images, and written at the end."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from facever.data.manifest import Manifest
from facever.heads.attributes import THRESHOLD, Attributes
from facever.heads.weighted_sum import WeightedSum
from facever.models.attributes import AttributeClassifier
from facever.training.run import Run
from facever.training.supervision.labels import label_table


class AttributeHeads:
    """The attribute heads among a training's heads, and what the development images are labelled.

    Args:
        heads: All heads of the training.
        development: The development images, None where there are none.
    """

    def __init__(self, heads: WeightedSum, development: Manifest | None) -> None:
        self._heads = {
            name: head
            for name, head in zip(heads.names, heads.heads, strict=True)
            if isinstance(head, Attributes)
        }
        self._tables = (
            {}
            if development is None
            else {
                name: label_table(development, head.config.columns, head.label_names)
                for name, head in self._heads.items()
            }
        )

    def __bool__(self) -> bool:
        return bool(self._heads)

    def figures(
        self, embeddings: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> dict[str, float | None]:
        """Return the accuracy of each label, as NAME/accuracy/LABEL, and their mean.

        Args:
            embeddings: [N, D], of development images.
            rows: [N], their rows in the development manifest.
        """
        figures: dict[str, float | None] = {}
        for name, head, chances, wanted in self._answers(embeddings, rows):
            yes = chances > head.thresholds.cpu().numpy()
            found = [_accuracy(yes[:, i], wanted[:, i]) for i in range(wanted.shape[1])]
            known = [value for value in found if value is not None]
            figures[f"{name}/accuracy"] = float(np.mean(known)) if known else None
            pairs = zip(head.label_names, found, strict=True)
            figures.update({f"{name}/accuracy/{label}": value for label, value in pairs})
        return figures

    def state_dict(self) -> dict[str, Any]:
        """Return the heads' states, for the checkpoint of the best weights."""
        return {name: head.state_dict() for name, head in self._heads.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state that `state_dict` returned."""
        for name, head in self._heads.items():
            head.load_state_dict(state[name])

    def export(
        self,
        run: Run,
        model_hash: str,
        embedded: tuple[NDArray[np.float32], NDArray[np.int64]] | None,
    ) -> None:
        """Set the thresholds on the development images and write the classifiers into the run.

        The first head becomes attributes.safetensors, others NAME.safetensors.

        Args:
            run: The run folder.
            model_hash: Of the exported model.
            embedded: Embeddings [N, D] by that model, of development images, and their rows [N] in
                the development manifest; None where there are none.
        """
        development: dict[str, dict[str, dict[str, float | int | None]]] = {}
        for name, head, chances, wanted in () if embedded is None else self._answers(*embedded):
            development[name] = {}
            for place, label in enumerate(head.label_names):
                threshold = best_threshold(chances[:, place], wanted[:, place])
                head.thresholds[place] = threshold
                development[name][label] = _measured(
                    chances[:, place] > threshold, wanted[:, place]
                )
        for name, head in self._heads.items():
            weight, bias = (p.detach().cpu().numpy() for p in head.classifier.parameters())
            AttributeClassifier(
                labels=head.label_names,
                weight=(weight * head.embedding_size**0.5).astype(np.float32),
                bias=bias.astype(np.float32),
                thresholds=head.thresholds.cpu().numpy().astype(np.float32),
                model_hash=model_hash,
                development=development.get(name, {}),
            ).save(run.attributes(name))

    @torch.no_grad()
    def _answers(
        self, embeddings: NDArray[np.float32], rows: NDArray[np.int64]
    ) -> Iterator[tuple[str, Attributes, NDArray[np.float64], NDArray[np.float32]]]:
        """Yield each head with its probabilities [N, A] and the labels [N, A]."""
        for name, head in self._heads.items():
            if name in self._tables:
                given = torch.from_numpy(embeddings).to(head.thresholds.device)
                chances = head.logits(given).double().sigmoid().cpu().numpy()
                yield name, head, chances, self._tables[name][rows]


def best_threshold(chances: NDArray[np.floating], wanted: NDArray[np.floating]) -> float:
    """Return the probability above which "yes" gives the best balanced accuracy.

    Between two neighbouring probabilities the middle is taken, of equally good ones the nearest to
    0.5; it is 0.5 where there is no yes or no no.

    Args:
        chances: [N], probabilities.
        wanted: [N], 1, 0 or NaN for unknown.
    """
    known = np.isfinite(wanted)
    chances, yes = np.asarray(chances[known], np.float64), wanted[known] > 0.5
    if yes.all() or not yes.any():
        return THRESHOLD
    levels = np.unique(chances)
    cuts = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    above = len(chances) - np.searchsorted(np.sort(chances), cuts, side="right")
    yes_above = yes.sum() - np.searchsorted(np.sort(chances[yes]), cuts, side="right")
    no_below = (~yes).sum() - (above - yes_above)
    balanced = yes_above / yes.sum() + no_below / (~yes).sum()
    best = cuts[balanced >= balanced.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - THRESHOLD))])


def _accuracy(yes: NDArray[np.bool_], wanted: NDArray[np.float32]) -> float | None:
    known = np.isfinite(wanted)
    return float((yes[known] == (wanted[known] > 0.5)).mean()) if known.any() else None


def _measured(yes: NDArray[np.bool_], wanted: NDArray[np.float32]) -> dict[str, float | int | None]:
    sides = [_accuracy(yes, np.where(wanted == side, wanted, np.nan)) for side in (0, 1)]
    low, high = sides
    return {
        "accuracy": _accuracy(yes, wanted),
        "balanced_accuracy": None if low is None or high is None else (low + high) / 2,
        "images": int(np.isfinite(wanted).sum()),
    }
