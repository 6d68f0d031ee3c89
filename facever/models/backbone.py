"""Backbones: timm's feature extractors, with pretrained weights where wanted."""

import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit
from urllib.request import getproxies

from torch import Tensor, nn

from facever.core.console import say
from facever.errors import ConfigError, ModelError, nearest
from facever.models.timm_import import timm
from facever.models.weights import first_line, first_names, load_strictly, read_weights

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
    """Return a timm model without classifier: images [B, 3, H, W] to features [B, width].

    Args:
        name: Any name of `timm.list_models()`, with or without the tag of its weights.
        options: Further arguments of the timm model, such as drop_path_rate.
        size: Height and width of the images, for backbones that are built for one size.
        pretrained: True for timm's own weights (downloaded once), or a path to a file.

    Raises:
        ConfigError: An unknown name or option.
        ModelError: Weights that cannot be had or do not fit.
    """
    check_name(name)
    options = dict(options)
    card = timm.models.get_pretrained_cfg(name)
    if card is not None and card.fixed_input_size:
        options.setdefault("img_size", list(size))
    if pretrained is True:
        return _download(name, options)
    model = _build(name, options)
    if pretrained:
        _load(model, name, Path(pretrained))
    return model


def check_name(name: str) -> None:
    """Refuse a name that timm does not know.

    Raises:
        ConfigError: With the nearest names.
    """
    known = timm.list_models()
    architecture, _, tag = name.partition(".")
    if architecture not in known:
        raise ConfigError(
            f"unknown backbone '{name}'{nearest(architecture, known)} "
            f"(one of {len(known)} names in timm.list_models())"
        )
    if tag and name not in timm.list_pretrained(f"{architecture}.*"):
        tags = ", ".join(timm.list_pretrained(f"{architecture}.*")) or "none"
        raise ConfigError(f"backbone '{architecture}' has no weights tagged '{tag}' (has: {tags})")


def _build(name: str, options: Mapping[str, Option]) -> nn.Module:
    try:
        model: nn.Module = timm.create_model(name, num_classes=0, **options)
    except (TypeError, ValueError, AssertionError, KeyError) as error:
        shown = ", ".join(f"{key}={value}" for key, value in options.items()) or "no options"
        message = f"backbone '{name}' cannot be built with {shown}: {first_line(error)}"
        raise ConfigError(message) from error
    return model


def _load(model: nn.Module, name: str, path: Path) -> None:
    """Load a file's weights, converted and resized as timm does for its own; all must fit."""
    state, left_out = read_weights(path)
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    try:
        weights: dict[str, Tensor] = state if convert is None else convert(state, model)
    except Exception:  # whatever a stranger's weights provoke; the comparison says what is wrong
        weights = state
    drop = _classifier(model)
    kept = {key: value for key, value in weights.items() if not key.startswith(drop)}
    load_strictly(model, kept, f"{path}", f"backbone '{name}'")
    left_out += [key for key in weights if key.startswith(drop)]
    unused = f"; not used: {first_names(left_out)}" if left_out else ""
    say(f"backbone '{name}': {len(kept)} pretrained tensors loaded from {path}{unused}")


def _classifier(model: nn.Module) -> tuple[str, ...]:
    """Return how the names of timm's own classifier of a model begin."""
    classifier = cast(dict[str, str | tuple[str, ...] | None], model.pretrained_cfg)["classifier"]
    heads = (classifier,) if isinstance(classifier, str) else classifier or ()
    return tuple(f"{head}." for head in heads)


@contextmanager
def _no_retries_without_network() -> Iterator[None]:
    """Take weights from the cache, or fail at once, where their host cannot be reached.

    Its library would try again and again for most of a minute.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _reachable(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _reachable(address: str) -> bool:
    """Return whether a connection can be made; behind a proxy it is taken for granted."""
    if getproxies():
        return True
    parts = urlsplit(address)
    try:
        port = parts.port or (80 if parts.scheme == "http" else 443)
        socket.create_connection((parts.hostname or "", port), _PATIENCE).close()
    except OSError:
        return False
    return True


def _download(name: str, options: Mapping[str, Option]) -> nn.Module:
    _build(name, options)  # errors of the options are told apart from errors of the network
    try:
        with _no_retries_without_network():
            model: nn.Module = timm.create_model(name, pretrained=True, num_classes=0, **options)
    except Exception as error:
        raise ModelError(
            f"no pretrained weights of '{name}' ({first_line(error)}): they need a network once; "
            "else set model.pretrained to a local file, or to false"
        ) from error
    unused = "".join(f"; not used: {start}*" for start in _classifier(model))
    said = f"{len(model.state_dict())} pretrained tensors of timm loaded{unused}"
    say(f"backbone '{name}': {said}")
    return model
