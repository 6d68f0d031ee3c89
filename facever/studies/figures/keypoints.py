"""Attention of a model's keypoints on given images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from facever.data.decode import decode
from facever.data.sources import load
from facever.data.suffixes import READABLE
from facever.errors import ConfigError, DataError
from facever.models.precision import choose_device, exact_fp32
from facever.models.saving import load_embedder
from facever.render.blocks import Cell, Section, Table
from facever.render.numbers import short
from facever.render.result import Result
from facever.studies.figures.attention import attention_sheet

_MOST_SHOWN = 16  # keypoints of a stage in a figure and its table


@dataclass(frozen=True)
class Keypoints(Result):
    """The attention of each keypoint on some images.

    Attributes:
        paths: The images, M.
        images: The preprocessed images in RGB: uint8 [H, W, 3] each.
        attention: By stage, float32 [M, N, h, w]; each map sums to 1.
    """

    paths: list[str]
    images: list[NDArray[np.uint8]]
    attention: dict[int, NDArray[np.float32]]

    json_keys = "images=paths keypoints"

    @property
    def keypoints(self) -> list[dict[str, Any]]:
        """Return each keypoint's means over the images.

        `spread` is the attended share of the image: e^entropy over the number of positions, 1 for a
        uniform map. `row` and `column` are the mean position, from 0 (top, left) to 1.
        """
        return [
            {"stage": stage, "keypoint": key + 1, **_place(maps[:, key].astype(np.float64))}
            for stage, maps in self.attention.items()
            for key in range(maps.shape[1])
        ]

    def describe(self) -> list[Section]:
        """Return the attention of each keypoint, as maps and as means over the images.

        Of a stage with many keypoints those of the smallest spread are shown.
        """
        shown = {stage: self._shown(stage) for stage in self.attention}
        figure = attention_sheet(
            "keypoints",
            "Attention of each keypoint",
            self.images,
            [Path(path).name for path in self.paths],
            self.attention,
            "Columns are STAGE.KEYPOINT. Each map is drawn relative to its own maximum: a uniform "
            "map colours the whole image. A stage with many keypoints shows those of the smallest "
            "spread.",
            shown,
        )
        places = ("spread", "row", "column")
        rows: list[list[Cell]] = [
            [f"{one['stage']}.{one['keypoint']}", *(short(one[name]) for name in places)]
            for one in self.keypoints
            if one["keypoint"] - 1 in shown[one["stage"]]
        ]
        table = Table("", ["keypoint", *places], rows)
        return [Section("figures", "Figures", [figure, table])]

    def _shown(self, stage: int) -> list[int]:
        """Return the keypoints of a stage that are drawn, in their order."""
        spreads = [one["spread"] for one in self.keypoints if one["stage"] == stage]
        order = np.argsort(spreads, kind="stable")[:_MOST_SHOWN]
        return sorted(order.tolist())


def keypoints_of(
    model: str | Path,
    given: Sequence[str],
    *,
    count: int = 6,
    data: str | Path | None = None,
    device: str = "auto",
) -> Keypoints:
    """Compute the attention of a model's keypoints on images.

    Args:
        model: A run folder or a .safetensors file, trained with `model.local`.
        given: Images; or one folder, table or data set, from which the first image of each of
            `count` identities is used.
        count: Maximum number of images.
        data: The `--data` option.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        ConfigError: `count` is below 1.
        DataError: Images and a data set are combined, or the data does not exist.
        ModelError: The model is not usable or has no keypoints.
        ImageError: An image cannot be read.
    """
    if count < 1:
        raise ConfigError(f"--count {count}: it must be 1 or more")
    place = choose_device(device)
    embedder, _ = load_embedder(Path(model))
    paths = _paths(given, count, data)
    preprocessing = embedder.preprocessing
    images = [preprocessing.resize(decode(path)) for path in paths]
    ready = np.stack([preprocessing.recolor(image) for image in images])
    with torch.inference_mode(), exact_fp32():
        attention = embedder.to(place).attention(
            torch.from_numpy(ready).permute(0, 3, 1, 2).to(place)
        )
    return Keypoints(
        paths, images, {stage: maps.cpu().numpy() for stage, maps in attention.items()}
    )


def _paths(given: Sequence[str], count: int, data: str | Path | None) -> list[str]:
    if all(Path(word).suffix.lower() in READABLE for word in given):
        return list(given)[:count]
    if len(given) > 1:
        raise DataError("give either images, or one folder, table or data set")
    people = load(given[0], data).at_most(1)
    return [people.locate(index) for index in range(min(count, len(people)))]


def _place(maps: NDArray[np.float64]) -> dict[str, float]:
    """Return spread and mean position of one keypoint's maps [M, h, w]."""
    _, height, width = maps.shape
    entropy = -(maps * np.log(np.maximum(maps, 1e-300))).sum((1, 2))
    rows, columns = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    return {
        "spread": float((np.exp(entropy) / (height * width)).mean()),
        "row": float((maps.sum(2) @ rows).mean()),
        "column": float((maps.sum(1) @ columns).mean()),
    }
