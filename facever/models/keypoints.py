"""The keypoint branch: a learned attention map for each keypoint, and its features."""

from collections.abc import Sequence
from typing import Annotated, Any, cast

import torch
from pydantic import Field, field_validator
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

    @field_validator("stages")
    @classmethod
    def _each_once(cls, stages: tuple[int, ...]) -> tuple[int, ...]:
        if list(stages) != sorted(set(stages)):
            raise ValueError("name each stage once, in ascending order")
        return stages


class KeypointAttention(nn.Module):
    """N keypoints of one feature map: a map of attention for each, and the features it finds.

    A convolutional block gives A [N, H, W], and with a softmax over space, for each keypoint c,

        M_c,ij = exp(A_c,ij) / sum_i'j' exp(A_c,i'j')        f_c = sum_ij M_c,ij X_ij

    The paper does not say which of X's channels go with which of A's. Our choice: every keypoint
    takes all channels of X, so that it describes its place fully. The block is our choice too: 3x3
    convolution to max(N, channels / 4), BatchNorm, ReLU, 1x1 convolution to N; without biases,
    which a softmax over space would not feel.

    Args:
        channels: C, of the feature map.
        keypoints: N.

    Reference:
        Zhao et al., An Adversarial Approach to Hard Triplet Generation, ECCV 2018, the local
        branch of the network.
    """

    def __init__(self, channels: int, keypoints: int) -> None:
        super().__init__()
        hidden = max(keypoints, channels // 4)
        self.block = nn.Sequential(
            nn.Conv2d(channels, hidden, 3, padding=1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, keypoints, 1, bias=False),
        )

    def attention(self, features: Tensor) -> Tensor:
        """Return M of a feature map [B, C, H, W]: [B, N, H, W], each map's sum over space is 1."""
        logits: Tensor = self.block(features)
        exact = logits.to(_exact(logits.dtype))
        return exact.flatten(2).softmax(2).view_as(logits)

    def forward(self, features: Tensor) -> Tensor:
        """Return f of a feature map [B, C, H, W]: [B, N * C], keypoint by keypoint.

        float32 (float64 for float64), also under autocast.
        """
        attention = self.attention(features)
        with torch.autocast(features.device.type, enabled=False):
            exact = features.to(attention.dtype)
            return torch.einsum("bnhw,bchw->bnc", attention, exact).flatten(1)


class KeypointBranch(nn.Module):
    """The keypoints of several stages.

    Args:
        backbone: A timm model with feature maps.
        name: What it is called.
        config: Which stages, and how many keypoints.

    Attributes:
        indices: The places of the stages among the backbone's feature maps.
        width: Number of features: for each stage, keypoints times its channels.

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
        self.attentions = nn.ModuleDict(
            {
                f"stage{stage}": KeypointAttention(count, config.keypoints)
                for stage, count in zip(config.stages, channels, strict=True)
            }
        )
        self.width = config.keypoints * sum(channels)

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
