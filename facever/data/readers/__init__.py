"""Readers of data set layouts: one file per layout, with a function from a root to a Manifest.

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
    agedb,
    cfp,
    cuhk03,
    dukemtmc,
    folder,
    idx,
    ijb,
    images,
    insightface,
    lfw,
    market1501,
    msmt17,
    table,
    tinyface,
    veri776,
    verification_bin,
    webdataset,
)
from facever.data.readers.cross_lfw import calfw, cplfw
from facever.data.readers.pattern import PREFIX, Pattern
from facever.errors import ConfigError, DataError, unknown


class Layout(Protocol):
    """Interface of a reader: a module or an object with these two functions."""

    def detect(self, root: Path) -> bool:
        """Return, from names only, whether `root` has this layout."""
        ...

    def read(self, root: Path, on_error: OnError = "skip") -> Manifest:
        """Read the data set; raise DataError if it does not fit the layout."""
        ...


LAYOUTS: dict[str, Layout] = {
    "table": table,
    "lfw": lfw,
    "cfp": cfp,
    "calfw": calfw,
    "cplfw": cplfw,
    "agedb": agedb,
    "tinyface": tinyface,
    "dukemtmc": dukemtmc,
    "cuhk03": cuhk03,
    "market1501": market1501,
    "msmt17": msmt17,
    "veri776": veri776,
    "ijb": ijb,
    "idx": idx,
    "webdataset": webdataset,
    "insightface": insightface,
    "verification_bin": verification_bin,
    "images": images,
    "folder": folder,
}
"""Readers of facever, in the order in which `detect` is called.

`dukemtmc` and `cuhk03` have the folders of `market1501`, and recognise their own names.
"""

_ANY_FOLDER = ("images", "folder")  # these accept every folder of images, so they are tried last
_registered: dict[str, Layout] = {}  # readers of plug-ins


class _Functions(NamedTuple):
    """A reader registered as two functions."""

    detect: Callable[..., bool]
    read: Callable[..., Manifest]


def register_reader(
    name: str, read: Callable[..., Manifest], detect: Callable[[Path], bool] | None = None
) -> None:
    """Register a reader under a name, for `layout: NAME` in a configuration and `--layout NAME`.

    Args:
        name: Name of the layout.
        read: `read(root, on_error)` returns the Manifest of a folder or file, or raises DataError
            if it does not fit. `on_error` ("skip" or "raise") is for folders that cannot be read.
        detect: `detect(root)` returns, from names only, whether `root` has this layout; it is
            called before the readers that accept any folder of images. Without it, the layout must
            be given by name.

    Raises:
        ConfigError: The name is taken, or `read` does not take these two arguments.

    Example:
        >>> register_reader("studio", read_studio, lambda root: (root / "studio.txt").is_file())
        ... # doctest: +SKIP
    """
    if name in (*LAYOUTS, "auto") or name.startswith(PREFIX):
        raise ConfigError(
            f"reader '{name}': facever already has a layout of this name: choose another name"
        )
    try:
        signature(read).bind(Path(), "skip")
    except TypeError as error:
        raise ConfigError(
            f"reader '{name}': its function must take (root, on_error): {error}"
        ) from error
    found = _Functions(detect or _never, read)
    if _origin(_registered.get(name, found)) != _origin(found):
        raise ConfigError(f"reader '{name}' is registered twice: rename one of them")
    _registered[name] = found


def layouts() -> dict[str, Layout]:
    """Return all readers, including those of plug-ins, in the order of detection.

    A plug-in that cannot be used causes a warning.

    Raises:
        ConfigError: A module in FACEVER_IMPORTS cannot be imported.
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
        ConfigError: The reader's plug-in cannot be used.
        DataError: There is no such reader, or a pattern cannot be used.
    """
    if name.startswith(PREFIX):
        return Pattern(name.removeprefix(PREFIX))
    if name not in LAYOUTS and name not in _registered:
        plugins.import_named_by_the_environment()
        if (found := plugins.load_entry(plugins.READERS, name)) is not None:
            _take(name, found)
    known = LAYOUTS | _registered
    if name not in known:
        raise DataError(unknown("layout", name, ["auto", *layouts(), f"{PREFIX}REGEX"], most=30))
    return known[name]


def _take(name: str, found: Any) -> None:
    """Register the object of an entry point, unless importing it has registered it.

    Raises:
        ConfigError: It has no function `read`, or the name is taken.
    """
    if name in _registered:
        return
    read = getattr(found, "read", None)
    if read is None:
        raise ConfigError(
            f"{plugins.describe_entry(plugins.READERS, name)} is not a reader: give a module or "
            "an object with the functions read and detect"
        )
    register_reader(name, read, getattr(found, "detect", None))


def _never(root: Path) -> bool:  # noqa: ARG001 - a reader's
    return False


def _origin(reader: Layout) -> tuple[str, str]:
    """Return the place of a reader's function, to recognise it if its module is imported again."""
    return reader.read.__module__, reader.read.__qualname__


def read(root: str | Path, layout: str = "auto", on_error: OnError = "skip") -> Manifest:
    """Read a data set.

    If the folder has an `alignment.json` from `facever data align`, it is the alignment of all
    images without a value in a column `alignment`.

    Args:
        root: The data set's folder, or a table.
        layout: One of `layouts()`, "auto" to detect it, or "pattern:REGEX" for images whose names
            hold the identity; see `facever.data.readers.pattern`.
        on_error: For folders that cannot be read: "skip" omits them with a warning, "raise" raises
            the error.

    Raises:
        ConfigError: The layout's plug-in cannot be used.
        DataError: There is no such path, the layout is unknown or does not fit the data, or
            `alignment.json` is damaged.
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


def layout_of(root: Path) -> str | None:
    """Return the layout that `read` would detect; None for another file."""
    try:
        return _detected(root)[0]
    except DataError:
        return None


def _detected(root: Path) -> tuple[str, Layout]:
    for name, candidate in layouts().items():
        try:
            if candidate.detect(root):
                return name, candidate
        except Exception as error:
            if name not in _registered:
                raise
            said = f"{type(error).__name__}: {error}"
            plugins.warn_once(f"reader '{name}' cannot check the layout of {root}: {said}")
    raise DataError(
        f"{root} is not a folder of images, a .csv or .parquet table, a .tar, .rec or .bin file, "
        "or a split file of CUHK03 (.mat)"
    )
