"""The Embedder: images to embeddings, by a backbone and a neck."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from facever.config import Config, parse
from facever.core.json_files import parse_json
from facever.core.run_folder import RunFolder
from facever.data.machine import require_memory
from facever.data.preprocessing import Preprocessing
from facever.errors import ConfigError, ModelError
from facever.models.backbone import (
    RESERVED,
    Option,
    check_name,
    create_backbone,
    is_plugin,
    last_features,
    pools,
    try_out,
    width_of,
)
from facever.models.keypoints import KeypointBranch, KeypointConfig
from facever.models.torchvision_models import is_torchvision
from facever.models.weights import HEADER, hash_of, read_safetensors

WITH_NORM = ("bnneck", "linear_bn")
"""The necks that end in BatchNorm."""


class ModelConfig(Config):
    """Configuration of an Embedder."""

    backbone: str = Field(
        "resnet10t",
        description="any name of timm.list_models(), torchvision:NAME, or your nn.Module as "
        "package.module:Name",
    )
    pretrained: bool | str = Field(
        False,
        description="true: timm's or torchvision's weights, downloaded once; or a local file or "
        "run folder",
    )
    frozen_epochs: float = Field(
        0.0, ge=0, le=1e6, description="epochs in which a pretrained backbone stays as it is"
    )
    backbone_options: dict[str, Option] = Field(
        {}, description="further arguments of the backbone, such as drop_path_rate"
    )
    embedding_size: int = Field(256, ge=1, le=65_536, description="components of an embedding")
    pooling: Literal["backbone", "flatten"] = Field(
        "backbone",
        description="backbone: timm's own, mostly the average over the feature map; flatten: the "
        "whole map, where each place in the image keeps features of its own: for aligned faces",
    )
    neck: Literal["linear_bn", "bnneck", "linear", "none"] = Field(
        "linear_bn",
        description="linear_bn: Linear + BatchNorm; bnneck: BatchNorm without shift on the pooled "
        "features (after a Linear where the sizes differ); linear: a Linear alone, which leaves "
        "lengths to the head; none: the pooled features themselves",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="of the pooled features, in training")
    local: KeypointConfig | None = Field(
        None, description="keypoints, whose features join the pooled ones before the neck"
    )
    preprocessing: Preprocessing = Preprocessing()
    alignment: Literal["none", "arcface-112"] = Field(
        "none",
        description="how the faces that the model is given are aligned: none: as the images are; "
        "arcface-112: five landmarks on ArcFace's template; a training on what 'facever data "
        "align' wrote sets it",
    )

    @property
    def architecture(self) -> dict[str, Any]:
        """All settings that affect embeddings, except the weights, as JSON values.

        Where the weights came from and what only matters while training is left out; so is every
        setting at its default: one that is added later does not change it.
        """
        return self.model_dump(
            mode="json",
            exclude={"pretrained", "frozen_epochs", "dropout"},
            exclude_defaults=True,
        )

    @field_validator("backbone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            check_name(name)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return name

    @field_validator("backbone_options")
    @classmethod
    def _not_ours(cls, options: dict[str, Option], info: ValidationInfo) -> dict[str, Option]:
        plugin = is_plugin(info.data.get("backbone", ""))
        if (taken := sorted(RESERVED & options.keys())) and not plugin:
            raise ValueError(f"{', '.join(taken)} is set by facever itself")
        for name, value in options.items():
            numbers = value if isinstance(value, list) else [value]
            if len(numbers) > 1000 or any(
                not isinstance(number, str) and abs(number) > 65_536 for number in numbers
            ):
                raise ValueError(f"{name} has more than 1,000 numbers, or one above 65,536")
        return options


class Embedder(nn.Module):
    """A backbone with global pooling, then a neck: images to embeddings.

    A backbone of timm or torchvision uses its own pooling; the feature map of a plug-in is
    averaged.

    With `local`, features of keypoints are concatenated with the pooled ones before the neck.

    Args:
        config: The architecture, its initial weights and its preprocessing.

    Attributes:
        width: Number of features before the neck.
        local: The keypoint branch, or None.
        embedding_size: Number of components of an embedding.
        preprocessing: How images are made ready; mean and standard deviation are applied here.

    Raises:
        ConfigError: An unknown backbone or option, or an embedding size that neck `none` cannot
            give; a backbone without the feature maps that `local` looks at.
        ModelError: Pretrained weights that cannot be had or do not fit.

    Reference:
        The pooling `flatten`: Deng et al., ArcFace, CVPR 2019, section 3.1 (the output setting
            BN-Dropout-FC-BN on the whole feature map).
        The neck `bnneck`: Luo et al., Bag of Tricks and a Strong Baseline for Deep Person
        Re-identification, CVPR workshops 2019, section 3.6 (its output is the embedding; heads
        that take what it is given say `input: before_norm`).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.preprocessing = config.preprocessing
        self.embedding_size = config.embedding_size
        if isinstance(config.pretrained, str):
            _require_undamaged(Path(config.pretrained))
        self.backbone = create_backbone(
            config.backbone, config.backbone_options, config.preprocessing.size, config.pretrained
        )
        self._averages = not pools(self.backbone, config.backbone)
        self._pooled = self.width = _width(self.backbone, config)
        self.local: KeypointBranch | None = None
        if config.local is not None:
            self.local = KeypointBranch(self.backbone, config.backbone, config.local)
            self.width += self.local.width
        self.neck = _neck(config, self.width)
        mean, std = (
            torch.tensor(v) * 255 for v in (self.preprocessing.mean, self.preprocessing.std)
        )
        # Derived from the configuration, so not part of the weights.
        self.register_buffer("mean", mean.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", std.view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return embeddings that are not normalised.

        Args:
            images: [B, 3, H, W], uint8 as `Preprocessing.apply` gives them, or floating point
                with mean and standard deviation already applied.

        Returns:
            [B, embedding_size], float32 (float64 for an Embedder in float64), also under autocast.

        Raises:
            ModelError: Another shape, or a batch of one image while BatchNorm trains.
        """
        return self.around_norm(images)[1]

    def around_norm(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the input of the neck's BatchNorm, and the embeddings; see `forward`.

        A neck without BatchNorm gives the embeddings twice.

        Returns:
            Both [B, embedding_size].
        """
        features = self._features(self._ready(images))
        if features.dtype in (torch.bfloat16, torch.float16):
            features = features.float()
        before = None
        with torch.autocast(features.device.type, enabled=False):
            for name, part in self.neck.named_children():
                before = features if name == "norm" else before
                features = part(features)
        return features if before is None else before, features

    def attention(self, images: Tensor) -> dict[int, Tensor]:
        """Return the attention of the keypoints, by stage: [B, keypoints, h, w], of sum 1.

        Raises:
            ModelError: The model has no keypoints; and what `forward` raises.
        """
        if self.local is None:
            raise ModelError("this model has no keypoints: it was trained without model.local")
        return self.local.attention(self._with_maps(self._ready(images), self.local.indices)[1])

    def _ready(self, images: Tensor) -> Tensor:
        """Check images and return them as the backbone needs them."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise ModelError(f"images must be [B, 3, H, W], not {list(images.shape)}")
        if images.shape[0] == 1 and any(
            isinstance(part, _BatchNorm) and part.training for part in self.modules()
        ):
            raise ModelError(
                "BatchNorm cannot train on a batch of one image: use batches of at least two, "
                "or drop the last one"
            )
        if images.dtype == torch.uint8:
            images = images.to(self.mean.dtype).sub_(self.mean).div_(self.std)
        return images

    def _features(self, images: Tensor) -> Tensor:
        """Return the input of the neck, [B, width]."""
        maps: Sequence[Tensor] = ()
        if self.local is not None:
            last, maps = self._with_maps(images, self.local.indices)
            pooled = self._pool(last)
        elif self.config.pooling == "backbone":
            pooled = self.backbone(images)
            if self._averages and pooled.ndim == 4:
                pooled = pooled.mean((2, 3))
        else:
            pooled = self._pool(last_features(self.backbone, images))
        if pooled.shape != (images.shape[0], self._pooled):
            raise ModelError(
                f"backbone '{self.config.backbone}' gives {list(pooled.shape)} where "
                f"[{images.shape[0]}, {self._pooled}] is needed: images of "
                f"{self.preprocessing.size} pixels, and timm's pooling as it is"
            )
        return pooled if self.local is None else torch.cat([pooled, self.local(maps)], 1)

    def _with_maps(self, images: Tensor, indices: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """Return the backbone's last features and some of its feature maps, in one forward pass."""
        found = self.backbone.forward_intermediates(images, indices=indices)  # type: ignore[operator]
        return cast("tuple[Tensor, list[Tensor]]", found)

    def _pool(self, features: Tensor) -> Tensor:
        """Return [B, pooled features] of the backbone's last features."""
        if self.config.pooling == "backbone":
            return cast(Tensor, self.backbone.forward_head(features))  # type: ignore[operator]
        return features.flatten(1)

    def embed(self, images: Tensor) -> Tensor:
        """Return embeddings of length 1, [B, embedding_size]; see `forward`."""
        return F.normalize(self(images))


def _require_undamaged(path: Path) -> None:
    """Refuse a facever model if its weights do not match the hash in its header.

    Raises:
        ModelError: They do not.
    """
    path = RunFolder(path).model if path.is_dir() else path
    if path.suffix != ".safetensors" or not path.is_file():
        return
    tensors, metadata = read_safetensors(path)
    if HEADER not in metadata:
        return
    try:
        header = parse_json(metadata[HEADER])
        config = parse(ModelConfig, header["config"])
        expected = header["fingerprint"]  # the key of the first version
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"the header of {path} is damaged") from error
    if hash_of(config.architecture, tensors) != expected:
        raise ModelError(f"{path} is damaged: its weights do not match the hash in its header")


def _width(backbone: nn.Module, config: ModelConfig) -> int:
    """Return the number of features before the neck; that of a flattened map is measured."""
    pooled = width_of(backbone, config.backbone, config.preprocessing.size)
    if config.pooling == "backbone":
        return pooled
    if is_torchvision(config.backbone):
        raise ConfigError(
            f"pooling 'flatten' needs a feature map, and backbone '{config.backbone}' gives pooled "
            "features: set model.pooling to backbone, or take a backbone of timm's"
        )
    features: Tensor = try_out(backbone, config.preprocessing.size, features=True)
    return features[0].numel()


def _neck(config: ModelConfig, width: int) -> nn.Sequential:
    size = config.embedding_size
    layers = OrderedDict[str, nn.Module]()
    if config.dropout:
        layers["dropout"] = nn.Dropout(config.dropout)
    if config.neck == "none":
        if size != width:
            raise ConfigError(
                f"neck 'none' gives the {width} features of backbone '{config.backbone}', not "
                f"embedding_size {size}: set embedding_size to {width}, or another neck"
            )
        return nn.Sequential(layers)
    if config.neck in ("linear_bn", "linear") or size != width:
        require_memory(
            4 * width * size, f"a neck from {width:,} features to embedding_size {size:,}"
        )
        layers["linear"] = nn.Linear(width, size, bias=False)
    if config.neck == "linear":
        return nn.Sequential(layers)
    layers["norm"] = norm = nn.BatchNorm1d(size)
    if config.neck == "bnneck":
        norm.bias.requires_grad_(False)
    return nn.Sequential(layers)
