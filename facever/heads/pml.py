"""The losses and miners of pytorch-metric-learning, as heads."""

import inspect
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from facever.errors import ConfigError, TrainingError, unknown
from facever.heads.base import Head, HeadConfig, HeadOutput, mean_norm
from facever.heads.common.distances import mean_pair_cosine
from facever.heads.registry import register

Parameters = dict[str, float | int | bool | str | None]

_NOT_BY_THEMSELVES = {
    "BaseMetricLossFunction",  # abstract
    "GenericPairLoss",  # abstract
    "ManifoldLoss",  # takes no labels
    "VICRegLoss",  # takes no labels
    "BaseMiner",  # abstract
    "EmbeddingsAlreadyPackagedAsTriplets",  # needs batches in triplets
}
_OBJECTS = {  # parameters that are no plain values
    "collect_stats",
    "distance",
    "embedding_regularizer",
    "embedding_reg_weight",
    "mat_based_loss",
    "reducer",
    "weight_init_func",
    "weight_reg_weight",
    "weight_regularizer",
}


@register
class PytorchMetricLearning(Head):
    """Any loss of pytorch-metric-learning, as pml:NAME, with one of its miners or without.

    The number of identities and the embedding size are filled in where the loss asks for them; it
    then needs one image per identity, otherwise two. Losses that wrap another one are not offered.
    Its own prototypes, where it has some, are not in the form of `prototypes`. Random choices come
    from torch's generator, whose state a checkpoint holds.

    Reference:
        Musgrave et al., PyTorch Metric Learning, arXiv:2008.09164, 2020.
    """

    class Config(HeadConfig):
        """Parameters of `pml:NAME`."""

        name: str = Field(pattern=r"^pml:\w+$", description="pml: and the name of the loss")
        parameters: Parameters = Field({}, description="what the loss is made with")
        miner: str | None = Field(None, description="name of a miner; null: what the loss does")
        miner_parameters: Parameters = Field({}, description="what the miner is made with")

        @property
        def loss(self) -> str:
            """The name of the loss."""
            return self.name.removeprefix("pml:")

        @model_validator(mode="after")
        def _known(self) -> Self:
            if self.miner is None and self.miner_parameters:
                raise ValueError("miner_parameters without a miner")
            if find_spec("pytorch_metric_learning") is not None:  # else said when it is made
                _check("loss", _class("loss", self.loss), self.parameters)
                if self.miner is not None:
                    _check("miner", _class("miner", self.miner), self.miner_parameters)
            return self

    name = "pml"
    paper = "Musgrave et al., PyTorch Metric Learning, arXiv:2008.09164; see the loss's own page"
    config: Config

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        self.name = config.name
        if find_spec("pytorch_metric_learning") is None:
            raise ConfigError(
                f"head '{self.name}' needs pytorch-metric-learning: pip install 'facever[pml]'"
            )
        kind = _class("loss", config.loss)
        needed = _needed(kind)
        sizes = {name: value for name, value in self._sizes().items() if name in needed}
        self.loss = self._make(kind, {**sizes, **config.parameters})
        self.miner: nn.Module | None = None
        if config.miner is not None:
            self.miner = self._make(_class("miner", config.miner), config.miner_parameters)
        self.images_per_identity = 1 if "num_classes" in needed and self.miner is None else 2

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the library's loss of what its miner chooses.

        Raises:
            TrainingError: The loss refuses the batch, as some do unless every identity has the same
                number of images.
        """
        try:
            chosen = self.miner(embeddings, labels) if self.miner is not None else None
            loss = self.loss(embeddings, labels, chosen)
        except ValueError as error:
            raise TrainingError(f"head '{self.name}': {_one_line(error)}") from error
        stats = {
            "pair_cosine": mean_pair_cosine(embeddings),
            "embedding_norm": mean_norm(embeddings),
        }
        return HeadOutput(loss, stats)

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters of fewer than two dimensions, such as learned margins."""
        return {name for name, value in self.named_parameters() if value.ndim < 2}

    def _sizes(self) -> dict[str, int]:
        """Return what a loss may ask for, under the names that the library has for it."""
        of_embedding = dict.fromkeys(
            ("embedding_size", "descriptors_dim", "l"), self.embedding_size
        )
        return {"num_classes": self.identities, **of_embedding}

    def _make(self, kind: type[nn.Module], parameters: dict[str, Any]) -> nn.Module:
        try:
            made = kind(**parameters)
        except (AssertionError, TypeError, ValueError) as error:
            reason = _one_line(error) or f"{kind.__name__} refuses its parameters"
            raise ConfigError(f"head '{self.name}': {reason}") from error
        for module in made.modules():  # running statistics become part of the state dict
            for key in [key for key, value in vars(module).items() if isinstance(value, Tensor)]:
                module.register_buffer(key, module.__dict__.pop(key))
        return made


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _library(kind: str) -> tuple[ModuleType, type[nn.Module]]:
    """Return the module of losses or of miners, and their base class."""
    from pytorch_metric_learning import losses, miners

    if kind == "loss":
        return losses, losses.BaseMetricLossFunction
    return miners, miners.BaseMiner


def _class(kind: str, name: str) -> type[nn.Module]:
    """Return a loss or a miner by its name.

    Raises:
        ValueError: There is none.
    """
    module, base = _library(kind)
    known = {
        key: value
        for key, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, base) and key not in _NOT_BY_THEMSELVES
    }
    if name not in known:
        raise ValueError(unknown(f"{kind} of pytorch-metric-learning", name, known))
    return known[name]


def _signature(kind: type) -> dict[str, Any]:
    """Return the parameters of a class and its bases, with their defaults."""
    found: dict[str, Any] = {}
    for base in kind.__mro__:
        if "__init__" in vars(base) and base.__module__.startswith("pytorch_metric_learning"):
            for key, parameter in inspect.signature(vars(base)["__init__"]).parameters.items():
                if parameter.kind is not parameter.VAR_POSITIONAL and key not in found:
                    found[key] = parameter.default
    return {key: value for key, value in found.items() if key not in {"self", "kwargs", *_OBJECTS}}


def _needed(kind: type) -> set[str]:
    """Return the parameters without a default."""
    return {key for key, value in _signature(kind).items() if value is inspect.Parameter.empty}


def _check(what: str, kind: type, parameters: Parameters) -> None:
    """Refuse parameters that a loss or miner does not take, or takes as a number.

    Raises:
        ValueError: Names the parameter.
    """
    filled_in = {"num_classes", "embedding_size", "descriptors_dim"} & _needed(kind)
    allowed = {key: value for key, value in _signature(kind).items() if key not in filled_in}
    for key, value in parameters.items():
        if key not in allowed:
            raise ValueError(unknown(f"parameter of {kind.__name__}", key, allowed))
        number = isinstance(allowed[key], float | int) and not isinstance(allowed[key], bool)
        if number and (isinstance(value, bool) or not isinstance(value, float | int)):
            raise ValueError(f"{key} of {kind.__name__} must be a number, not {value!r}")
        if isinstance(value, int) and value > 65_536:
            raise ValueError(f"{key} of {kind.__name__} is {value}; at most 65,536")
    missing = sorted(_needed(kind) - filled_in - parameters.keys())
    if missing:
        raise ValueError(f"{what} {kind.__name__} needs {', '.join(missing)} in its parameters")
