"""insightface's verification sets: `lfw.bin`, a pickle of encoded images and of booleans.

The pickle holds two lists: 2 N encoded images, of which each two that follow each other are a pair,
and N booleans, whether a pair shows one person. Nobody is named, so identities are inferred.

Reference:
    insightface, https://github.com/deepinsight/insightface (recognition, `lfw.bin`, `cfp_fp.bin`).
"""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facever.core.console import say
from facever.core.pickles import read_pickle
from facever.data.acquisition import OnError
from facever.data.manifest import Manifest
from facever.data.members import address_of
from facever.errors import DataError

SUFFIX = ".bin"
FOLDS = 10
_WHAT = "a verification set of insightface (a pickled list of images and list of booleans)"


def detect(root: Path) -> bool:
    """Tell whether `root` is a .bin file."""
    return root.is_file() and root.suffix == SUFFIX


def read(root: Path, on_error: OnError = "skip") -> Manifest:  # noqa: ARG001
    """Return each image once, in their order, with identities that the pairs imply.

    Images of one genuine pair, and images with equal bytes, are of one identity. A person whose
    images no pair connects has several identities: there are at most as many people as identities.

    Raises:
        DataError: It is not such a file.
    """
    paths, same, contents = _opened(root)
    frame = pd.DataFrame({"path": paths, "identity": _identities(same, contents)})
    frame = frame.drop_duplicates("path", ignore_index=True)
    say(
        f"{root} names nobody: {frame['identity'].nunique():,} identities follow from its genuine "
        "pairs and equal images; a person can have several of them"
    )
    return Manifest(frame, root.parent, root.stem)


def read_bin_pairs(path: Path) -> pd.DataFrame:
    """Return the pairs: a, b, same, fold (ten, in their order), identity_a and identity_b.

    Raises:
        DataError: It is not such a file.
    """
    paths, same, contents = _opened(path)
    people = _identities(same, contents)
    frame = pd.DataFrame({"a": paths[::2], "b": paths[1::2], "same": same})
    frame["identity_a"], frame["identity_b"] = people[::2], people[1::2]
    if len(frame) % FOLDS == 0:
        frame["fold"] = np.arange(len(frame)) // (len(frame) // FOLDS)
    return frame


def _opened(file: Path) -> tuple[list[str], list[bool], list[bytes]]:
    """Return the address of each image, whether each pair shows one person, and the images."""
    held, content = read_pickle(file, _WHAT)
    if not (isinstance(held, list | tuple) and len(held) == 2):
        raise DataError(f"{file} is not {_WHAT}: it holds {_kind(held)}")
    images, labels = (list(part) if _is_list(part) else None for part in held)
    if images is None or labels is None:
        raise DataError(f"{file} is not {_WHAT}: it holds {_kind(held[0])} and {_kind(held[1])}")
    if len(images) != 2 * len(labels) or not labels:
        raise DataError(
            f"{file} has {len(images):,} images and {len(labels):,} labels: a pair is two images "
            "and one label"
        )
    if any(one not in (0, 1) for one in labels):
        raise DataError(f"{file}: its labels must be true or false")
    contents = [_bytes(one, file, number) for number, one in enumerate(images)]
    return _addresses(file, content, contents), [bool(one) for one in labels], contents


def _addresses(file: Path, content: bytes, images: list[bytes]) -> list[str]:
    """Return where the bytes of each image lie in the file; equal images have one address."""
    place = 0
    known: dict[bytes, str] = {}
    for number, image in enumerate(images):
        if image in known:
            continue
        offset = content.find(image, place)
        if offset < 0:
            raise DataError(
                f"{file}: image {number} does not lie in it byte by byte (a pickle of protocol 0 "
                "to 2 by Python 3): load it and write it again with pickle protocol 4"
            )
        place = offset + len(image)
        known[image] = address_of(file.name, offset, len(image), zlib.crc32(image))
    return [known[image] for image in images]


def _identities(same: list[bool], images: list[bytes]) -> list[str]:
    """Return an identity for each image: what genuine pairs and equal bytes connect."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbers, kinds = np.unique(
        [zlib.crc32(one) << 32 | len(one) for one in images], return_inverse=True
    )
    genuine = np.flatnonzero(same)
    edges = (np.ones(len(genuine), bool), (kinds[2 * genuine], kinds[2 * genuine + 1]))
    _, parts = connected_components(coo_array(edges, shape=(len(numbers),) * 2), directed=False)
    return [f"inferred-{part:05d}" for part in parts[kinds]]


def _bytes(image: Any, file: Path, number: int) -> bytes:
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim <= 1:
        image = image.tobytes()
    if not isinstance(image, bytes | bytearray) or not image:
        raise DataError(f"{file}: image {number} is {_kind(image)}, not the bytes of an image file")
    return bytes(image)


def _is_list(part: Any) -> bool:
    return isinstance(part, list | tuple) or (isinstance(part, np.ndarray) and part.ndim == 1)


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"
