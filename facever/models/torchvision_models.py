"""Backbones of torchvision: `torchvision:NAME`, a classification network without its classifier."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from facever.errors import ConfigError, nearest
from facever.models.timm_import import timm  # imports torchvision, without torch's compiler

PREFIX = "torchvision:"
_AUXILIARY = ("aux1", "aux2", "AuxLogits")  # classifiers of GoogLeNet and Inception, for training
_OWN_SIZE = "vit_"  # built for one size of images

__all__ = ["PREFIX", "check_torchvision", "create_torchvision", "is_torchvision"]

assert timm  # what the import above is for


def is_torchvision(name: str) -> bool:
    """Return whether a backbone's name is one of torchvision's, known or not."""
    return name.startswith(PREFIX)


def check_torchvision(name: str) -> None:
    """Refuse a name that torchvision does not have.

    Raises:
        ConfigError: With the nearest names.
    """
    known = _names()
    if (plain := name.removeprefix(PREFIX)) not in known:
        raise ConfigError(
            f"unknown backbone '{name}'{nearest(plain, known)} (one of {len(known)} classification "
            "networks in torchvision.models.list_models(), after torchvision:)"
        )


def create_torchvision(
    name: str, options: Mapping[str, Any], size: Sequence[int], pretrained: bool = False
) -> nn.Module:
    """Return a network of torchvision from images [B, 3, H, W] to features [B, width].

    Its last linear layer, the classifier, is replaced by the identity. The names of its weights
    stay torchvision's; `pretrained_cfg["classifier"]` names those that are not used, as timm does.

    Args:
        name: "torchvision:NAME".
        options: Further arguments of the network, such as `width_mult`.
        size: (height, width) of the images; the input size of a vision transformer.
        pretrained: Whether to load torchvision's weights (downloaded once).

    Raises:
        ConfigError: An unknown name or a network without a linear classifier.
        TypeError, ValueError: The network does not take an option; as torchvision raises it.
        OSError: The weights cannot be downloaded.
    """
    import torchvision

    check_torchvision(name)
    plain, options = name.removeprefix(PREFIX), dict(options)
    if plain in ("googlenet", "inception_v3"):
        options |= {"init_weights": False} | ({} if pretrained else {"aux_logits": False})
    if plain.startswith(_OWN_SIZE) and size[0] == size[1] and not pretrained:
        options.setdefault("image_size", size[0])
    model: nn.Module = torchvision.models.get_model(
        plain, weights="DEFAULT" if pretrained else None, **options
    )
    found = [key for key, part in model.named_modules() if isinstance(part, nn.Linear)]
    last = [key for key, _ in model.named_modules()][-1]
    if not found or last != found[-1]:
        raise ConfigError(
            f"backbone '{name}' does not end in a linear classifier, which is replaced: choose "
            "another one, or timm's of that kind"
        )
    for auxiliary in _AUXILIARY:
        if getattr(model, auxiliary, None) is not None:
            setattr(model, auxiliary, None)
            model.aux_logits = False  # type: ignore[assignment]
    model.set_submodule(last, nn.Identity())
    model.pretrained_cfg = {"classifier": (last, *_AUXILIARY)}  # type: ignore[assignment]
    return model


def _names() -> list[str]:
    from torchvision import models

    found: list[str] = models.list_models(module=models)
    return found
