"""A model as one safetensors file that carries its own configuration, and how to trust it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from facever._version import __version__
from facever.catalogue import entries
from facever.config import parse, read_yaml_file
from facever.core.files import atomic_path
from facever.core.json_files import parse_json
from facever.core.run_folder import RunFolder
from facever.core.text import canonical_column
from facever.deprecated import former_attribute
from facever.errors import ConfigError, ModelError, nearest
from facever.models.backbone import is_plugin, modules_of
from facever.models.embedder import Embedder, ModelConfig
from facever.models.timm_import import timm
from facever.models.weights import (
    HEADER,
    hash_of,
    load_strictly,
    read_safetensors,
)
from facever.plugins import import_for_model


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model beside its weights.

    Attributes:
        model_hash: SHA-256 of weights, preprocessing and architecture, in hexadecimal. The
            fingerprint of an embedding space is of this hash and the options of the extraction.
        metric: "cosine", "euclidean" or "dot": what the model was trained to be compared by.
        config: The model's configuration.
        trained_on: Columns identity and dataset of the training, None where it is not known; with
            a column use, "development" marks the people whom only choices were made on.
    """

    model_hash: str
    metric: str
    config: ModelConfig
    trained_on: pd.DataFrame | None

    fingerprint = former_attribute("model_hash")


def model_hash(embedder: Embedder) -> str:
    """Return the SHA-256 of weights, buffers, preprocessing and architecture, in hexadecimal.

    Equal hashes mean equal embeddings of equal images on the same machine. Where the
    weights came from, and what only matters while training, is left out; so is every setting at
    its default: a setting that is added later does not change the hashes of existing models.
    """
    return hash_of(embedder.config.architecture, embedder.state_dict())


def save_embedder(embedder: Embedder, path: Path, *, metric: str) -> str:
    """Write weights and configuration to one safetensors file, atomically.

    Args:
        embedder: The model.
        path: Where to; conventionally model.safetensors in a run folder.
        metric: "cosine", "euclidean" or "dot": what verification must compare by.

    Returns:
        The hash of the model (`model_hash`).
    """
    from safetensors.torch import save

    identity = model_hash(embedder)
    header = {
        "config": embedder.config.model_dump(mode="json"),
        "fingerprint": identity,  # the key of the first version
        "metric": metric,
        "versions": {"facever": __version__, "timm": timm.__version__, "torch": torch.__version__},
    }
    if imports := modules_of(embedder.config.backbone):
        header["imports"] = imports
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in embedder.state_dict().items()
    }
    with atomic_path(path) as temporary:
        # As bytes: save_file would replace the file, and its permissions.
        temporary.write_bytes(save(tensors, {HEADER: json.dumps(header, sort_keys=True)}))
    return identity


def load_embedder(model: Path) -> tuple[Embedder, ModelCard]:
    """Read a model; neither its training's configuration nor a network is needed.

    Args:
        model: A run folder, or a .safetensors file that facever wrote.

    Returns:
        The Embedder in evaluation mode on the CPU, and what is known of it.

    Raises:
        ModelError: Nothing there, a training that has not finished, a file that facever did not
            write, or one whose weights are damaged or of another architecture; or its backbone is
            in a package that is not installed, or that nobody allowed (see
            `facever.plugins.import_for_model`).
    """
    path = _model_file(Path(model))
    tensors, metadata = read_safetensors(path)
    if HEADER not in metadata:
        raise ModelError(
            f"{path} was not saved by facever (no configuration in it): to start a training from "
            "it set model.pretrained to its path"
        )
    try:
        header = parse_json(metadata[HEADER])
        _import_backbone(header, path)
        config = parse(ModelConfig, header["config"], where=f"the configuration in {path}")
        expected, metric = str(header["fingerprint"]), str(header["metric"])
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"the header of {path} is damaged") from error
    except ConfigError as error:
        made_by = header.get("versions", {}).get("facever", "unknown")
        message = f"{error}; it was written by facever {made_by}, this is {__version__}"
        raise ModelError(message) from error
    embedder = Embedder(config.model_copy(update={"pretrained": False}))
    load_strictly(embedder, tensors, source=str(path))
    embedder.config = config
    if model_hash(embedder) != expected:
        raise ModelError(f"{path} is damaged: its weights do not match the hash in its header")
    trained_on = _trained_on(path.parent)
    return embedder.eval(), ModelCard(expected, metric, config, trained_on)


def _import_backbone(header: dict[str, Any], path: Path) -> None:
    """Import the modules that the backbone of a model file is in, where that is allowed.

    Raises:
        ModelError: It is not, or they cannot be imported.
    """
    needed = [str(one) for one in header.get("imports", [])]
    backbone = str(header["config"].get("backbone", ""))
    if (
        ":" in backbone
        and is_plugin(backbone)
        and (module := backbone.partition(":")[0]) not in needed
    ):
        needed.append(module)
    if needed:
        import_for_model(needed, str(path), _named_by_run(path.parent / "config.yaml"))


def _named_by_run(config: Path) -> list[str]:
    """Return the modules that the configuration of a run names."""
    if not config.is_file():
        return []
    values = read_yaml_file(config)
    if not isinstance(values, dict):
        return []
    model, imports = values.get("model"), values.get("imports")
    backbone = model.get("backbone") if isinstance(model, dict) else None
    named = [*(imports if isinstance(imports, list) else []), backbone]
    return [one.partition(":")[0] for one in named if isinstance(one, str)]


def _model_file(model: Path) -> Path:
    if model.is_file():
        return model
    if not model.exists():
        public = nearest(str(model), [one.name for one in entries()])
        raise ModelError(
            f"no model at {model}{public or ':'} give a run folder, a .safetensors or .onnx file, "
            "or the name of a public model (facever models list)"
        )
    run = RunFolder(model)
    if run.model.is_file():
        return run.model
    if run.config.is_file():
        raise ModelError(
            f"the training in {model} has not finished: there is no {run.model.name} yet (continue "
            f"it with: facever train --resume {model})"
        )
    raise ModelError(f"{model} is not a run folder: there is no {run.model.name} in it")


def _trained_on(run: Path) -> pd.DataFrame | None:
    path = RunFolder(run).identities
    if not path.is_file():
        return None
    try:
        frame = pd.read_parquet(path)
        frame["identity"] = canonical_column(frame["identity"])
        return frame[["identity", "dataset", *({"use"} & set(frame.columns))]]
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path} is damaged or has no columns identity and dataset") from error
