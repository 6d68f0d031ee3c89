"""The attribute classifier of a run: labels from embeddings."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from facever.core.files import atomic_path
from facever.core.json_files import parse_json
from facever.core.run_folder import RunFolder
from facever.deprecated import former_attribute
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import ModelError
from facever.models.extractor import extraction_fingerprint
from facever.models.weights import HEADER, first_line

NUMBERS = ("weight", "bias", "thresholds")


@dataclass(frozen=True)
class AttributeClassifier:
    """One sigmoid and one threshold for each label, on unit embeddings.

    Args:
        labels: Their names, A.
        weight: float32 [A, D].
        bias: float32 [A].
        thresholds: float32 [A], the probability above which the answer is yes.
        model_hash: Of the model whose embeddings it was trained on.
        development: What was measured on the development images: for each label its accuracy,
            balanced accuracy and number of images, None where it could not be measured.

    Example:
        >>> faces = EmbeddingSet.load("runs/celeba/embeddings")  # doctest: +SKIP
        >>> AttributeClassifier.load("runs/celeba").predict(faces)  # doctest: +SKIP
    """

    labels: tuple[str, ...]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    thresholds: NDArray[np.float32]
    model_hash: str
    development: Mapping[str, Mapping[str, float | int | None]]

    fingerprint = former_attribute("model_hash")

    def probabilities(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the probability of each label, [N, A]; vectors [N, D] of length 1."""
        logits = np.asarray(vectors, np.float64) @ self.weight.T.astype(np.float64) + self.bias
        return 1 / (1 + np.exp(-np.clip(logits, -500, 500)))

    def predict(self, embeddings: EmbeddingSet) -> pd.DataFrame:
        """Return the rows of an embedding set with the columns LABEL and "LABEL probability".

        Both are missing where an image could not be embedded.

        Raises:
            ModelError: The embeddings are not of the model that the classifier was trained with.
        """
        options = embeddings.meta.options
        flip, precision = bool(options.get("flip")), options.get("precision", "fp32")
        own = extraction_fingerprint(self.model_hash, flip=flip, precision=precision)
        if embeddings.meta.fingerprint != own:
            raise ModelError(
                "these embeddings are not of the model that the attributes were trained with: "
                "embed the images with the run's own model (facever embed)"
            )
        chances = self.probabilities(embeddings.vectors)
        made: dict[str, Any] = {}
        for place, label in enumerate(self.labels):
            chance = pd.Series(chances[:, place]).where(embeddings.acquired)
            made[label] = (chance > self.thresholds[place]).astype("boolean").mask(chance.isna())
            made[f"{label} probability"] = chance
        rows = embeddings.rows.reset_index(drop=True)
        return pd.concat(
            [rows.drop(columns=list(made), errors="ignore"), pd.DataFrame(made)], axis=1
        )

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for name in NUMBERS:
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, atomically."""
        header = {
            "labels": list(self.labels),
            "fingerprint": self.model_hash,  # the key of the first version
            "development": {label: dict(said) for label, said in self.development.items()},
            "sha256": self._digest(),
        }
        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in NUMBERS}
        with atomic_path(Path(path)) as temporary:
            temporary.write_bytes(save(tensors, {HEADER: json.dumps(header, sort_keys=True)}))

    @classmethod
    def load(cls, run: str | Path) -> Self:
        """Read the classifier of a run folder, or of a file that `save` wrote.

        Raises:
            ModelError: There is none, or it is damaged.
        """
        path = RunFolder(run).attributes() if Path(run).is_dir() else Path(run)
        if not path.is_file():
            raise ModelError(
                f"no attribute classifier at {path}: a finished training with the head "
                "'attributes' writes one"
            )
        try:
            with safe_open(path, framework="numpy") as file:
                tensors = {name: file.get_tensor(name) for name in NUMBERS}
                header = parse_json((file.metadata() or {})[HEADER])
            found = cls(
                labels=tuple(header["labels"]),
                model_hash=header["fingerprint"],
                development=header["development"],
                **tensors,
            )
            if header.get("sha256", found._digest()) != found._digest():  # not in older files
                raise ValueError("its checksum does not match its header")
            return found
        except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
            raise ModelError(
                f"{path} is damaged, or no attribute classifier: {first_line(error)}"
            ) from error
