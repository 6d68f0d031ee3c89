"""A model of another package, by "package.module:Name" or the name of an entry point."""

import os
from collections.abc import Generator, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

from facever import plugins
from facever.data.acquisition import Acquire, OnError
from facever.data.given import Given
from facever.errors import ConfigError, FaceverError, ModelError
from facever.models.extraction import LoadedModel, Precision
from facever.models.photos import alignment_of
from facever.models.protocol import Model, described
from facever.models.streams import EmbeddedBlock, Loaded, Workers

if TYPE_CHECKING:
    from facever.data.manifest import Manifest
    from facever.operating_point import OperatingPoint


def is_plugin_model(name: str) -> bool:
    """Return whether a name is that of a model of another package; nothing is imported."""
    if os.path.exists(name):  # noqa: PTH110 - a file or folder goes first
        return False
    return plugins.is_object(name) or name in plugins.entry_names(plugins.MODELS)


def open_plugin_model(
    name: str,
    device: str,
    flip: bool,
    precision: Precision | None,
    batch_size: int,
    engine: str = "auto",
) -> LoadedModel:
    """Return a model of another package; see `facever.load_model`.

    Raises:
        ConfigError: It cannot be imported, or does not take an option.
        ModelError: It cannot be made, or is no `facever.Model`.
    """
    if batch_size < 1:
        raise ConfigError(f"batch size {batch_size}: it must be 1 or larger")
    found: Any = (
        plugins.load_object(name, "model")
        if plugins.is_object(name)
        else plugins.load_entry(plugins.MODELS, name)
    )
    given = {"device": device, "flip": flip, "precision": precision or "fp32", "engine": engine}
    usual = {
        "device": ("auto", "cpu"),
        "flip": (False,),
        "precision": ("fp32",),
        "engine": ("auto",),
    }
    made = isinstance(found, type) or not hasattr(found, "embed")
    known = signature(found).parameters if made and callable(found) else {}
    if refused := [key for key in given if key not in known and given[key] not in usual[key]]:
        raise ConfigError(f"model '{name}' takes no option {refused[0]}: omit it")
    try:
        model = found(**{key: given[key] for key in given if key in known}) if made else found
    except FaceverError:
        raise
    except Exception as error:  # whatever the code of a user raises
        said = f"{type(error).__name__}: {error}"
        raise ModelError(f"model '{name}' cannot be made: {said}") from error
    return model if isinstance(model, LoadedModel) else PluginModel(model, batch_size)


class PluginModel(LoadedModel):
    """A `facever.Model` of another package with all methods of a loaded model.

    Args:
        model: Any model.
        batch_size: Images that it is given at once.

    Raises:
        ModelError: `model` is not one.
    """

    def __init__(self, model: Model, batch_size: int = 64) -> None:
        said = described(model)
        self.model, self.batch_size = model, batch_size
        self.fingerprint, self.metric = said.fingerprint, said.metric
        self.dimension = said.dimension
        self.preprocessing, self.options = dict(said.preprocessing), dict(said.options)
        self.alignment = alignment_of(model)
        self.device = getattr(model, "device", "cpu")
        self.trained_on = getattr(model, "trained_on", None)

    @property
    def versions(self) -> dict[str, str]:
        """What the model says."""
        return dict(getattr(self.model, "versions", {}))

    @property
    def operating_point(self) -> "OperatingPoint | None":
        """What the model says."""
        return getattr(self.model, "operating_point", None)

    def blocks(
        self,
        images: "Manifest | Sequence[Given]",
        runs: Sequence[range] | None = None,
        *,
        workers: Workers = "auto",
        on_error: OnError = "skip",
        faces: Acquire | None = None,
    ) -> Generator[EmbeddedBlock, None, None]:
        """See `LoadedModel`; by the model's own `blocks` where it takes `runs` and `faces`."""
        how: dict[str, Any] = {"workers": workers, "on_error": on_error, "faces": faces}
        blocks = getattr(self.model, "blocks", None)
        if blocks is not None and {"runs", "faces"} <= set(signature(blocks).parameters):
            yield from blocks(images, runs, **how)
        else:
            yield from Loaded(self.model, self.batch_size).blocks(images, runs, **how)
