"""The keypoint branch: a learned attention map for each keypoint, and its features."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, cast

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from facever.config import Config
from facever.errors import ConfigError

Stage = Annotated[int, Field(ge=1, le=4)]


class KeypointConfig(Config):
    """Configuration of a local branch in addition to the global feature.

    Stages are counted from the end, so that 4 is the backbone's last feature map and 3 the one
    before: 1/32 and 1/16 of the image's side, or as a backbone option (output_stride) has it.
    """

    stages: tuple[Stage, ...] = Field(
        (3, 4), min_length=1, description="the feature maps that are looked at, 4 the last"
    )
    keypoints: int = Field(8, ge=1, le=1024, description="N, keypoints of each stage")
    pairing: Literal["all", "channel"] = Field(
        "all",
        description="all: each keypoint pools all channels; channel: one keypoint for each channel",
    )

    @field_validator("stages")
    @classmethod
    def _each_once(cls, stages: tuple[int, ...]) -> tuple[int, ...]:
        if list(stages) != sorted(set(stages)):
            raise ValueError("name each stage once, in ascending order")
        return stages

    @model_validator(mode="after")
    def _one_for_each_channel(self) -> Self:
        if (
            self.pairing == "channel"
            and self.keypoints != type(self).model_fields["keypoints"].default
        ):
            raise ValueError(
                "pairing 'channel' has as many keypoints as channels: omit keypoints, or use 'all'"
            )
        return self


class KeypointAttention(nn.Module):
    """N keypoints of one feature map: a map of attention for each, and the features it finds.

    A convolutional block gives A [N, H, W], and with a softmax over space, for each keypoint c,

        M_c,ij = exp(A_c,ij) / sum_i'j' exp(A_c,i'j')

    With the pairing "channel" map c pools channel c of X: f_c = sum_ij M_c,ij X_c,ij, and N = C.
    This is how the formula reads in the sources at hand, where both have the index c. With the
    pairing "all" (our choice, and the default) a map pools all channels, so that a keypoint
    describes its place fully: f_ck = sum_ij M_c,ij X_k,ij. The block is our choice too: 3x3
    convolution to max(N, C / 4) channels, or C / 4 with the pairing "channel", BatchNorm, ReLU, 1x1
    convolution to N; without biases, which a softmax over space does not change.

    Args:
        channels: C, of the feature map.
        keypoints: N; None for the pairing "channel".

    Reference:
        Zhao et al., An Adversarial Approach to Hard Triplet Generation, ECCV 2018, the local
        branch of the network.
    """

    def __init__(self, channels: int, keypoints: int | None) -> None:
        super().__init__()
        self._by_channel = keypoints is None
        hidden = max(keypoints or 1, channels // 4)
        self.block = nn.Sequential(
            nn.Conv2d(channels, hidden, 3, padding=1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, keypoints or channels, 1, bias=False),
        )

    def attention(self, features: Tensor) -> Tensor:
        """Return M of a feature map [B, C, H, W]: [B, N, H, W], each map's sum over space is 1."""
        logits: Tensor = self.block(features)
        exact = logits.to(_exact(logits.dtype))
        return exact.flatten(2).softmax(2).view_as(logits)

    def forward(self, features: Tensor) -> Tensor:
        """Return f of a feature map [B, C, H, W]: [B, N * C], keypoint by keypoint; or [B, C].

        float32 (float64 for float64), also under autocast.
        """
        attention = self.attention(features)
        with torch.autocast(features.device.type, enabled=False):
            exact = features.to(attention.dtype)
            if self._by_channel:
                return (attention * exact).sum((2, 3))
            return torch.einsum("bnhw,bchw->bnc", attention, exact).flatten(1)


class KeypointBranch(nn.Module):
    """The keypoints of several stages.

    Args:
        backbone: A timm model with feature maps.
        name: What it is called.
        config: Which stages, and how many keypoints.

    Attributes:
        indices: The places of the stages among the backbone's feature maps.
        width: Number of features: for each stage, keypoints times its channels, or its channels.

    Raises:
        ConfigError: A backbone without feature maps, or without one of the stages.
    """

    def __init__(self, backbone: nn.Module, name: str, config: KeypointConfig) -> None:
        super().__init__()
        maps = _feature_maps(backbone, name)
        first = 5 - len(maps)
        if config.stages[0] < first:
            raise ConfigError(
                f"model.local: backbone '{name}' has {len(maps)} feature maps, so its stages are "
                f"{first} to 4, without stage {config.stages[0]}"
            )
        self.stages = config.stages
        self.indices = [len(maps) + stage - 5 for stage in config.stages]
        channels = [cast(int, maps[index]["num_chs"]) for index in self.indices]
        keypoints = config.keypoints if config.pairing == "all" else None
        self.attentions = nn.ModuleDict(
            {
                f"stage{stage}": KeypointAttention(count, keypoints)
                for stage, count in zip(config.stages, channels, strict=True)
            }
        )
        self.width = (keypoints or 1) * sum(channels)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the features [B, width] of the stages' maps, each [B, C, H, W]."""
        pairs = zip(self.attentions.values(), maps, strict=True)
        return torch.cat([attention(features) for attention, features in pairs], 1)

    def attention(self, maps: Sequence[Tensor]) -> dict[int, Tensor]:
        """Return each stage's attention [B, N, H, W], by the stage's number."""
        pairs = zip(self.attentions.values(), maps, strict=True)
        found = [cast(KeypointAttention, part).attention(features) for part, features in pairs]
        return dict(zip(self.stages, found, strict=True))


def _feature_maps(backbone: nn.Module, name: str) -> list[dict[str, Any]]:
    """Return timm's information on the feature maps, which must shrink by stage."""
    maps = list(cast("list[dict[str, Any]]", getattr(backbone, "feature_info", [])))
    known = all(hasattr(backbone, name) for name in ("forward_intermediates", "forward_head"))
    if not known or not maps or maps[-1]["reduction"] <= maps[0]["reduction"]:
        raise ConfigError(
            f"model.local needs feature maps that shrink from stage to stage, as a resnet's do; "
            f"backbone '{name}' has none: take another, or set model.local to null"
        )
    return maps


def _exact(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
