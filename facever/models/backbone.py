"""Backbones: timm's feature extractors and torchvision's, with weights where wanted, and plug-ins.

A plug-in is any nn.Module from images [B, 3, H, W] to features [B, width] or to a feature map
[B, width, h, w]: "package.module:Name", a class or a function that makes one; an entry point's
name; or a name that the user's code gave it by timm's `register_model`.
"""

import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from torch import Tensor, nn

from facever import plugins
from facever.core.console import say
from facever.errors import ConfigError, ModelError, nearest
from facever.models.timm_import import timm
from facever.models.torchvision_models import (
    check_torchvision,
    create_torchvision,
    is_torchvision,
)
from facever.models.weights import (
    first_line,
    first_names,
    load_strictly,
    read_weights,
    without_prefix,
)

RESERVED = {"pretrained", "num_classes", "in_chans"}
"""Options of timm's that the Embedder sets itself."""

_PATIENCE = 5.0  # seconds

Option = bool | int | float | str | list[int] | list[float]


def create_backbone(
    name: str,
    options: Mapping[str, Option],
    size: tuple[int, int],
    pretrained: bool | str = False,
) -> nn.Module:
    """Return a network without classifier, or a plug-in, for images [B, 3, H, W].

    Args:
        name: Any name of `timm.list_models()`, with or without the tag of its weights; or
            "torchvision:NAME"; or a plug-in, see above.
        options: Further arguments of the model, such as drop_path_rate.
        size: Height and width of the images, for backbones that are built for one size.
        pretrained: True for timm's or torchvision's weights (downloaded once), or a path to a file.

    Raises:
        ConfigError: An unknown name or option, or a plug-in that cannot be made.
        ModelError: Weights that cannot be had or do not fit.
    """
    check_name(name)
    if is_plugin(name):
        return _create_plugin(name, options, pretrained)
    asked, options = options, dict(options)
    if is_torchvision(name):
        build, owner = partial(create_torchvision, name, options, size), "torchvision"
    else:
        card = timm.models.get_pretrained_cfg(name)
        if card is not None and card.fixed_input_size:
            options.setdefault("img_size", list(size))
        build = partial(timm.create_model, name, num_classes=0, **options)
        owner = "timm"
    model = _build(build, name, options)  # its errors are told apart from errors of the network
    if pretrained is True:
        return _download(build, name, owner)
    if pretrained:
        _load(model, name, asked, Path(pretrained))
    return model


def is_plugin(name: str) -> bool:
    """Return whether a backbone is made neither by timm nor by torchvision; nothing is imported."""
    if is_torchvision(name):
        return False
    if plugins.is_object(name):
        return True
    return not timm.is_model(name) and name in plugins.entry_names(plugins.BACKBONES)


def modules_of(name: str) -> list[str]:
    """Return the modules, of packages that facever does not need itself, of a backbone."""
    if is_torchvision(name):
        return []
    if plugins.is_object(name):
        return [name.partition(":")[0]]
    if timm.is_model(name):
        module = timm.model_entrypoint(name).__module__
        return [] if plugins.package_of(module) == "timm" else [module]
    module = plugins.entry_module(plugins.BACKBONES, name)
    return [] if module is None else [module]


def _create_plugin(name: str, options: Mapping[str, Option], pretrained: bool | str) -> nn.Module:
    """Return the backbone of a plug-in.

    Raises:
        ConfigError: It cannot be imported or made, or is not an nn.Module.
    """
    if pretrained is True:
        raise ConfigError(
            f"model.pretrained is true, and backbone '{name}' is neither timm's nor torchvision's: "
            "name a file of weights, or set it to false"
        )
    make: Any = (
        plugins.load_object(name, "model.backbone")
        if plugins.is_object(name)
        else plugins.load_entry(plugins.BACKBONES, name)
    )
    try:
        model = make(**options)
    except Exception as error:  # whatever the code of a user raises
        raise ConfigError(
            f"backbone '{name}' cannot be built with {_shown(options)}: {type(error).__name__}: "
            f"{first_line(error)}"
        ) from error
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"backbone '{name}' gives a {type(model).__name__}: it must be a class of nn.Module, "
            "or a function that returns one"
        )
    if pretrained:
        _load(model, name, options, Path(pretrained))
    return model


def pools(backbone: nn.Module, name: str) -> bool:
    """Return whether a backbone is timm's, which pools its features and knows their number."""
    return hasattr(backbone, "head_hidden_size") and not is_plugin(name)


def width_of(backbone: nn.Module, name: str, size: tuple[int, int]) -> int:
    """Return the number of pooled features of a backbone; that of a plug-in is measured.

    Raises:
        ConfigError: A plug-in does not take images of this size, or does not return
            [B, width] or [B, width, h, w].
    """
    if pools(backbone, name):
        return cast(int, backbone.head_hidden_size)
    try:
        given = try_out(backbone, size)
    except Exception as error:  # whatever the code of a user raises
        raise ConfigError(
            f"backbone '{name}' does not take images of {size[0]} x {size[1]} pixels "
            f"({first_line(error)}): choose another model.preprocessing.size"
        ) from error
    if not (isinstance(given, Tensor) and given.ndim in (2, 4) and given.is_floating_point()):
        said = list(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise ConfigError(
            f"backbone '{name}' gives {said} for one image: its forward must return floating "
            "point [B, width] or [B, width, h, w]"
        )
    return given.shape[1]


@torch.no_grad()
def try_out(backbone: nn.Module, size: tuple[int, int], features: bool = False) -> Any:
    """Return the output of a backbone for one black image, in evaluation mode.

    Args:
        backbone: It keeps its mode and its buffers, and the random generator its state.
        size: (height, width) of the image, in pixels.
        features: Return its last features, see `last_features`.
    """
    training = backbone.training
    try:
        with torch.random.fork_rng(devices=[]):
            image = torch.zeros(1, 3, *size)
            backbone.eval()
            return last_features(backbone, image) if features else backbone(image)
    finally:
        backbone.train(training)


def last_features(backbone: nn.Module, images: Tensor) -> Tensor:
    """Return a backbone's features before timm's pooling; its output if it does not pool."""
    found: Tensor = getattr(backbone, "forward_features", backbone)(images)
    return found


def check_name(name: str) -> None:
    """Refuse a name that neither timm, torchvision nor an entry point has; no plug-in is imported.

    Raises:
        ConfigError: With the nearest names.
    """
    if is_torchvision(name):
        return check_torchvision(name)
    if is_plugin(name):
        return
    if ":" in name:
        raise ConfigError(
            f"backbone '{name}': write a name of timm's, torchvision:NAME, or package.module:Name"
        )
    architecture, _, tag = name.partition(".")
    if architecture not in timm.list_models(architecture):  # a pattern: the whole list takes longer
        known = timm.list_models()
        raise ConfigError(
            f"unknown backbone '{name}'{nearest(architecture, known)} "
            f"(one of {len(known)} names in timm.list_models(), torchvision:NAME, or "
            "package.module:Name)"
        )
    if tag and name not in timm.list_pretrained(f"{architecture}.*"):
        tags = ", ".join(timm.list_pretrained(f"{architecture}.*")) or "none"
        raise ConfigError(f"backbone '{architecture}' has no weights tagged '{tag}' (has: {tags})")


def _build(build: Callable[[], nn.Module], name: str, options: Mapping[str, Option]) -> nn.Module:
    try:
        model = build()
    except (TypeError, ValueError, AssertionError, KeyError) as error:
        message = f"backbone '{name}' cannot be built with {_shown(options)}: {first_line(error)}"
        raise ConfigError(message) from error
    return model


def _shown(options: Mapping[str, Option]) -> str:
    return ", ".join(f"{key}={value}" for key, value in options.items()) or "no options"


def _load(model: nn.Module, name: str, options: Mapping[str, Option], path: Path) -> None:
    """Load the weights of a file, converted and resized as timm does; all must fit.

    Only counters of BatchNorm, which nothing is computed by, may be missing.
    """
    content, left_out = read_weights(path)
    state, others, prefix = without_prefix(content, dict(model.named_parameters()))
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    try:
        weights: dict[str, Tensor] = state if convert is None else convert(state, model)
    except Exception:  # whatever a stranger's weights provoke; the comparison says what is wrong
        weights = state
    drop = _classifier(model)
    kept = {key: value for key, value in weights.items() if not key.startswith(drop)}
    counters = {
        key: value
        for key, value in model.state_dict().items()
        if key.endswith(".num_batches_tracked") and key not in kept
    }
    kept |= counters
    owner = f"backbone '{name}'" + (f" with {_shown(options)}" if options else "")
    load_strictly(model, kept, f"{path}", owner)
    unused = [f"{prefix}{key}" for key in weights if key.startswith(drop)] + others + left_out
    said = f"{len(kept) - len(counters)} pretrained tensors loaded from {path}"
    said += f" (names without {prefix})" if prefix else ""
    said += f"; not in it: {len(counters)} counters of BatchNorm, now 0" if counters else ""
    said += f"; not used: {first_names(unused)}" if unused else ""
    say(f"backbone '{name}': {said}")


def _classifier(model: nn.Module) -> tuple[str, ...]:
    """Return how the names of the classifier of a model, which is left out, begin."""
    said = cast("dict[str, str | tuple[str, ...] | None]", getattr(model, "pretrained_cfg", {}))
    classifier = said.get("classifier")
    heads = (classifier,) if isinstance(classifier, str) else classifier or ()
    return tuple(f"{head}." for head in heads)


@contextmanager
def _no_retries_without_network() -> Iterator[None]:
    """Take weights from the cache, or fail at once, if their host cannot be reached.

    The library would retry for most of a minute.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _reachable(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _reachable(address: str) -> bool:
    """Return whether a connection can be made; behind a proxy this is assumed."""
    if getproxies():
        return True
    parts = urlsplit(address)
    try:
        port = parts.port or (80 if parts.scheme == "http" else 443)
        socket.create_connection((parts.hostname or "", port), _PATIENCE).close()
    except OSError:
        return False
    return True


def _download(build: Callable[..., nn.Module], name: str, owner: str) -> nn.Module:
    try:
        with _no_retries_without_network():
            model = build(pretrained=True)
    except Exception as error:
        raise ModelError(
            f"no pretrained weights of '{name}' ({first_line(error)}): they need a network once; "
            "else set model.pretrained to a local file, or to false"
        ) from error
    unused = "".join(f"; not used: {start}*" for start in _classifier(model))
    said = f"{len(model.state_dict())} pretrained tensors of {owner} loaded{unused}"
    say(f"backbone '{name}': {said}")
    return model
