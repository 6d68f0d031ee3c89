"""Readers of data set layouts: one file per layout, each a function from a root to a Manifest.

A reader of another package has the same two functions, see `register_reader`.
"""

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from facever import plugins
from facever.data.acquisition import OnError
from facever.data.aligned import alignment_in
from facever.data.manifest import Manifest
from facever.data.readers import (
    cfp,
    folder,
    idx,
    images,
    insightface,
    lfw,
    market1501,
    table,
    verification_bin,
    webdataset,
)
from facever.errors import ConfigError, DataError, unknown


class Layout(Protocol):
    """What a reader offers: a module with these two functions, or an object."""

    def detect(self, root: Path) -> bool:
        """Tell, from names alone, whether `root` is laid out so."""
        ...

    def read(self, root: Path, on_error: OnError = "skip") -> Manifest:
        """Read it, or raise DataError saying what does not fit."""
        ...


LAYOUTS: dict[str, Layout] = {
    "table": table,
    "lfw": lfw,
    "cfp": cfp,
    "market1501": market1501,
    "idx": idx,
    "webdataset": webdataset,
    "insightface": insightface,
    "verification_bin": verification_bin,
    "images": images,
    "folder": folder,
}
"""Facever's own readers, in the order in which they are asked whether a root is theirs."""

_ANY_FOLDER = ("images", "folder")  # these recognise every folder of images: they are asked last
_registered: dict[str, Layout] = {}  # of plug-ins


class _Functions(NamedTuple):
    """A reader that was registered as two functions."""

    detect: Callable[..., bool]
    read: Callable[..., Manifest]


def register_reader(
    name: str, read: Callable[..., Manifest], detect: Callable[[Path], bool] | None = None
) -> None:
    """Make a reader known by a name: `layout: NAME` in a configuration, `--layout NAME`.

    Args:
        name: Of the layout.
        read: `read(root, on_error)` returns the Manifest of a folder or file, or raises DataError
            where it does not fit. `on_error` is "skip" or "raise": what a folder that cannot be
            read does.
        detect: `detect(root)` returns, from names alone, whether `root` is laid out so; it is asked
            before the readers that take any folder of images. Without it the name must be given.

    Raises:
        ConfigError: The name is taken, or `read` does not take these two arguments.

    Example:
        >>> register_reader("studio", read_studio, lambda root: (root / "studio.txt").is_file())
        ... # doctest: +SKIP
    """
    if name in (*LAYOUTS, "auto"):
        raise ConfigError(f"reader '{name}': facever has a layout of this name: choose another")
    try:
        signature(read).bind(Path(), "skip")
    except TypeError as error:
        raise ConfigError(
            f"reader '{name}': its function must take (root, on_error): {error}"
        ) from error
    found = _Functions(detect or _never, read)
    if _origin(_registered.get(name, found)) != _origin(found):
        raise ConfigError(f"reader '{name}' is registered twice: choose another name for one")
    _registered[name] = found


def layouts() -> dict[str, Layout]:
    """Return all readers, those of plug-ins too, in the order in which they are asked.

    A plug-in that cannot be used is named in a warning.

    Raises:
        ConfigError: FACEVER_IMPORTS names a module that cannot be imported.
    """
    plugins.import_named_by_the_environment()
    for name, found in plugins.load_entries(plugins.READERS).items():
        try:
            _take(name, found)
        except ConfigError as error:
            plugins.warn_once(str(error))
    last = {name: LAYOUTS[name] for name in _ANY_FOLDER}
    return {**{k: v for k, v in LAYOUTS.items() if k not in last}, **_registered, **last}


def _layout(name: str) -> Layout:
    """Return the reader of a name.

    Raises:
        ConfigError: The plug-in that brings it cannot be used.
        DataError: There is none.
    """
    if name not in LAYOUTS and name not in _registered:
        plugins.import_named_by_the_environment()
        if (found := plugins.load_entry(plugins.READERS, name)) is not None:
            _take(name, found)
    known = LAYOUTS | _registered
    if name not in known:
        raise DataError(unknown("layout", name, ["auto", *layouts()]))
    return known[name]


def _take(name: str, found: Any) -> None:
    """Register what an entry point names, unless importing it has done so.

    Raises:
        ConfigError: It has no function `read`, or the name is taken.
    """
    if name in _registered:
        return
    read = getattr(found, "read", None)
    if read is None:
        raise ConfigError(
            f"{plugins.describe_entry(plugins.READERS, name)} is no reader: name a module or an "
            "object with the functions read and detect"
        )
    register_reader(name, read, getattr(found, "detect", None))


def _never(root: Path) -> bool:  # noqa: ARG001 - a reader's
    return False


def _origin(reader: Layout) -> tuple[str, str]:
    """Return where a reader's function was defined: a module may be imported again."""
    return reader.read.__module__, reader.read.__qualname__


def read(root: str | Path, layout: str = "auto", on_error: OnError = "skip") -> Manifest:
    """Read a data set.

    Where the folder has the `alignment.json` that `facever data align` writes, all images are of
    its alignment, but where a column `alignment` says otherwise.

    Args:
        root: The data set's folder, or a table.
        layout: One of `layouts()`, or "auto" to recognise it.
        on_error: What a folder that cannot be read does: "skip" leaves it out and names it, "raise"
            ends.

    Raises:
        ConfigError: The plug-in that brings the layout cannot be used.
        DataError: No such path, an unknown layout, data that is not laid out so, or a damaged
            `alignment.json`.
    """
    chosen = None if layout == "auto" else _layout(layout)
    root = Path(root)
    if not root.exists():
        raise DataError(f"no such path: {root}")
    try:
        found, reader = _detected(root) if chosen is None else (layout, chosen)
        manifest = reader.read(root, on_error)
    except PermissionError as error:
        raise DataError(f"{error.filename} cannot be read: permission denied") from error
    if not isinstance(manifest, Manifest):
        raise DataError(
            f"reader '{found}' returned a {type(manifest).__name__}: it must return a "
            "facever.Manifest"
        )
    said = alignment_in(manifest.root)
    if said is not None and "alignment" not in manifest.frame:
        manifest = manifest.assign(alignment=said["alignment"])
    manifest.layout = found
    return manifest


def _detected(root: Path) -> tuple[str, Layout]:
    for name, candidate in layouts().items():
        try:
            if candidate.detect(root):
                return name, candidate
        except Exception as error:
            if name not in _registered:
                raise
            said = f"{type(error).__name__}: {error}"
            plugins.warn_once(f"reader '{name}' cannot tell whether {root} is its layout: {said}")
    raise DataError(
        f"{root} is neither a folder of images, a .csv or .parquet table, a .tar, .rec nor .bin "
        "file"
    )
