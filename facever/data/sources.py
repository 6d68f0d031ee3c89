"""Search for data sets: a given folder, $FACEVER_DATA, ./data, then built-in data."""

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pandas as pd

from facever.core.cache_folder import cache_folder
from facever.core.console import say
from facever.data.acquisition import OnError
from facever.data.manifest import Manifest
from facever.data.readers import lfw, read
from facever.data.tables import is_table
from facever.data.walking import images_below
from facever.errors import DataError

BUILT_IN = ("digits", "olivetti")  # included in, or downloaded by, scikit-learn
GENERATED_IDENTITIES, GENERATED_IMAGES = 300, 10  # about 6 s on one core


def data_roots(option: str | Path | None = None) -> list[Path]:
    """Return the folders in which data sets are searched: `option`, $FACEVER_DATA, ./data.

    Raises:
        DataError: `option` or $FACEVER_DATA is given and is not a folder.
    """
    named = [("--data", option), ("FACEVER_DATA", os.environ.get("FACEVER_DATA"))]
    roots = []
    for source, value in named:
        if value:
            if not Path(value).is_dir():
                raise DataError(f"{source}: no folder {value}")
            roots.append(Path(value))
    return [*roots, Path("data")] if Path("data").is_dir() else roots


def find(name: str | Path, option: str | Path | None = None) -> Path:
    """Return `name` if it is an existing path, else `name` in the first data root that has it.

    Raises:
        DataError: It was not found; the message lists the searched folders.
    """
    path = Path(name)
    if path.exists():
        return path
    roots = data_roots(option)
    for root in roots:
        if (root / path).exists():
            return root / path
    looked = ", ".join(map(str, ["here", *roots]))
    raise DataError(f"no data '{name}' (searched: {looked}); give a path, --data or $FACEVER_DATA")


def load(
    name: str | Path,
    option: str | Path | None = None,
    layout: str = "auto",
    on_error: OnError = "skip",
) -> Manifest:
    """Return the data set of a path, of a name in a data root, or one of `BUILT_IN`.

    Args:
        name: A path or a data set's name.
        option: Folder that is searched first.
        layout: One of the readers' names, or "auto".
        on_error: For folders that cannot be read, see `facever.data.readers.read`.

    Raises:
        DataError: It was not found, or does not have the layout.
    """
    try:
        root = find(name, option)
    except DataError:
        if str(name) not in BUILT_IN:
            raise
        if layout != "auto":
            raise DataError(f"'{name}' is built in; it has no layout '{layout}'") from None
        return _built_in(str(name))
    return read(root, layout, on_error)


def gather(
    given: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    person: str | None = None,
    option: str | Path | None = None,
) -> Manifest:
    """Return given images with their identities.

    Args:
        given: Images and folders of images of one `person`; without `person`, one folder with a
            folder per person, a table or a data set's name.
        person: Id of the person in all images.
        option: Folder of named data sets.

    Raises:
        DataError: There is no such path, there are no images, or an image has no identity.
    """
    several = [given] if isinstance(given, str | os.PathLike) else given
    names = [os.fspath(one) for one in several]
    if not names:
        raise DataError("no images are given")
    if person is None:
        if len(names) == 1 and (is_table(Path(names[0])) or not Path(names[0]).is_file()):
            return load(names[0], option).require_identities(1)
        raise DataError(
            f"the person in {names[0]} is unknown: give --person ID (people=ID in Python)"
        )
    paths: list[str] = []
    for name in names:
        path = Path(name).absolute()
        if path.is_dir():
            paths += [str(path / image) for image in images_below(path)]
        elif path.is_file():
            paths.append(str(path))
        else:
            raise DataError(f"no such path: {name}")
    if not paths:
        raise DataError(f"no images in {names[0]}")
    frame = pd.DataFrame({"path": paths, "identity": person})
    return Manifest.from_frame(frame, Path.cwd(), "images")


def fallback(option: str | Path | None = None) -> Manifest:
    """Return the best available faces, printing one line for each source tried.

    The order is: LFW, else ORL, in each data root, or the root itself if it is a data set; the
    Olivetti faces; synthetic faces generated in the cache.

    Raises:
        DataError: `option` is given and contains no images.
    """
    for root in data_roots(option):
        for candidate in (root, root / "lfw"):
            if lfw.detect(candidate):
                return _said(lfw.read(candidate), "Labeled Faces in the Wild")
        if (root / "orl").is_dir():
            return _said(read(root / "orl", "folder"), "ORL faces")
        if root != Path("data"):  # the project's folder contains a sample and a guide
            try:
                return _said(read(root), "your own images")
            except DataError as error:
                if option is not None and root == Path(option):
                    raise
                say(f"no usable faces in {root}: {error}")
    try:
        return _said(_built_in("olivetti"), "Olivetti faces through scikit-learn")
    except DataError as error:
        say(str(error))
    return _said(_generated(), "synthetic faces")


def _said(manifest: Manifest, what: str) -> Manifest:
    images, people = len(manifest), len(manifest.identities)
    say(f"data: {what}: {images:,} images of {people:,} identities in {manifest.root}")
    return manifest


def _generated() -> Manifest:
    folder = cache_folder() / f"generated-{GENERATED_IDENTITIES}x{GENERATED_IMAGES}"
    if not folder.is_dir():
        from facever.data.synthesize import synthesize  # draws with OpenCV

        synthesize(folder, GENERATED_IDENTITIES, GENERATED_IMAGES)
    return read(folder)


def _built_in(name: str) -> Manifest:
    manifest: Manifest = import_module(f"facever.data.readers.{name}").read()
    return manifest
