"""VeRi-776: `0002_c002_00030600_0.jpg` is vehicle 2, camera 2; labels in XML name colour and type.

Reference:
    Liu, Liu, Mei, Ma: A deep learning-based approach to progressive vehicle re-identification for
    urban surveillance, ECCV 2016.
"""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from facever.core.console import say
from facever.core.files import read_regular
from facever.data.acquisition import OnError
from facever.data.manifest import Manifest
from facever.data.named_images import Names, check_listed, first_image, read_lines
from facever.data.walking import images_below
from facever.errors import DataError

_FOLDERS = {"image_train": "train", "image_query": "query", "image_test": "gallery"}
_LISTS = {
    "image_train": "name_train.txt",
    "image_query": "name_query.txt",
    "image_test": "name_test.txt",
}
_LABELS = ("train_label.xml", "test_label.xml")
_ATTRIBUTES = {"color": ("colorID", "list_color.txt"), "type": ("typeID", "list_type.txt")}
_NAMES = Names(
    layout="VeRi-776",
    example="0002_c002_00030600_0.jpg",
    pattern=re.compile(
        r"(?P<identity>[0-9]+)_c(?P<camera>[0-9]+)_(?P<frame>[0-9]+)_(?P<box>[0-9]+)\."
    ),
    numbers=("camera", "frame", "box"),
)
_MOST_BYTES = 200_000_000
_DECLARATION = re.compile(r"<\?xml[^>]*\?>")
_ENCODING = re.compile(rb"""<\?xml[^>]*encoding=["']([A-Za-z0-9_-]+)["']""")


def detect(root: Path) -> bool:
    """Return whether `root` has a folder of images, and a list, labels or names of the data set."""
    folders = [root / folder for folder in _FOLDERS if (root / folder).is_dir()]
    files = (root / name for name in (*_LISTS.values(), *_LABELS))
    return any(_NAMES.fit(first_image(folder)) for folder in folders) or (
        bool(folders) and any(file.is_file() for file in files)
    )


def read(root: Path, on_error: OnError = "skip") -> Manifest:
    """Return the images with columns identity ("0002"), camera ("2"), frame, box and subset.

    image_train is "train", image_query is "query" and image_test is "gallery". Where a list
    `name_*.txt` exists, its images are read, else all of the folder. `train_label.xml` and
    `test_label.xml` add the columns color and type: the numbers there, or the names that
    `list_color.txt` and `list_type.txt` give to them.

    `gt_index.txt`, `jk_index.txt` and the tracks are not read: relevant and junk images of a query
    follow from identity and camera (the cross-camera rule).

    Raises:
        DataError: There are no images, a name does not fit, a list or labels name an image twice
            or a list one that is missing, or labels are damaged or contradict the names.
    """
    images: list[str] = []
    for folder, name in _LISTS.items():
        there = images_below(root, [folder], on_error)
        if (root / name).is_file():
            listed = [f"{folder}/{line}" for line in read_lines(root / name, "VeRi-776")]
            check_listed(root, there, listed, name, "VeRi-776")
            there = listed
        images += there
    if not images:
        raise DataError(f"VeRi-776: no images in {root} (looked for {', '.join(_FOLDERS)})")
    frame = pd.DataFrame({"path": images, **_NAMES.columns(root, images)})
    frame["subset"] = [_FOLDERS[image.partition("/")[0]] for image in images]
    _tell_copies(frame)
    return Manifest(_labelled(root, frame), root, "veri776")


def _tell_copies(frame: pd.DataFrame) -> None:
    """Say how many queries are gallery images too: each would match itself."""
    names = frame["path"].str.rpartition("/")[2]
    queries = names[frame["subset"] == "query"]
    copies = int(queries.isin(names[frame["subset"] == "gallery"]).sum())
    if copies:
        say(
            f"VeRi-776: {copies:,} of {len(queries):,} queries are in the gallery too: use "
            "evaluate retrieval --camera camera, which excludes them"
        )


def _labelled(root: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """Add the columns color and type."""
    labels: dict[str, dict[str, str]] = {}
    for name in _LABELS:
        if (root / name).is_file():
            labels |= _items(root / name)
    if not labels:
        return frame
    items = [labels.get(path.rpartition("/")[2], {}) for path in frame["path"]]
    for path, identity, camera, item in zip(
        frame["path"], frame["identity"], frame["camera"], items, strict=True
    ):
        said = item.get("vehicleID", identity), item.get("cameraID", camera)
        if _whole(said[0]) != int(identity) or _whole(said[1].lstrip("c")) != int(camera):
            raise DataError(
                f"VeRi-776: the labels of {root} say vehicle {said[0]}, camera {said[1]} of {path}"
            )
    for column, (attribute, names) in _ATTRIBUTES.items():
        known = _names(root / names)
        values = [item.get(attribute) for item in items]
        frame[column] = [None if one is None else known.get(_whole(one), one) for one in values]
    without = sum(not item for item in items)
    unused = len(labels.keys() - {path.rpartition("/")[2] for path in frame["path"]})
    if without or unused:
        say(
            f"VeRi-776: the labels of {root} lack {without:,} images, which get no color and type, "
            f"and name {unused:,} others, which are not read"
        )
    return frame


def _items(path: Path) -> dict[str, dict[str, str]]:
    """Return the attributes of each image in a file of labels."""
    root = _parse(path)
    items = [item.attrib for item in root.iter("Item")]
    unnamed = next((item for item in items if not item.get("imageName")), None)
    if unnamed is not None or not items:
        raise DataError(f"{path} has no <Item imageName=... vehicleID=... cameraID=.../>")
    for announced in (_whole(one.get("number", "")) for one in root.iter("Items")):
        if announced not in (None, len(items)):
            raise DataError(
                f"{path} announces {announced:,} items and has {len(items):,}: it is incomplete; "
                "fetch it again"
            )
    named = {item["imageName"]: dict(item) for item in items}
    if len(named) < len(items):
        raise DataError(f"{path} names an image twice: fetch it again")
    return named


def _parse(path: Path) -> ElementTree.Element:
    """Parse XML without a document type, of any encoding that Python knows."""
    try:
        content = read_regular(path, _MOST_BYTES)
        found = _ENCODING.match(content.lstrip())
        encoding = found[1].decode() if found else "utf-8-sig"
        encoding = "gb18030" if encoding.lower() in ("gb2312", "gbk") else encoding
        text = _DECLARATION.sub("", content.decode(encoding), count=1)
        if "<!" in text.replace("<!--", ""):
            raise ValueError("it has a document type or entities, which labels do not need")
        return ElementTree.fromstring(text.strip())
    except (OSError, ValueError, LookupError, ElementTree.ParseError) as error:
        raise DataError(f"{path} cannot be read as labels in XML: {error}") from error


def _names(path: Path) -> dict[Any, str]:
    """Return the names of numbers, of lines "1 yellow" or "yellow 1"; none without the file."""
    known: dict[Any, str] = {}
    if path.is_file():
        for line in read_lines(path, "VeRi-776"):
            words = line.replace("\t", " ").split()
            numbers = [word for word in words if _whole(word) is not None]
            texts = [word for word in words if _whole(word) is None]
            if len(numbers) != 1 or not texts:
                raise DataError(f"{path}: expected '<number> <name>', found '{line}'")
            known[int(numbers[0])] = " ".join(texts)
    return known


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
