"""The generator of synthetic identities.

Every image is a function of (seed, identity, shot, size). Images of a person differ strongly in
pose, light, expression, glasses, hat, occlusion, blur, noise and background, so that comparing
pixels gives poor results and training is useful.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from math import comb
from pathlib import Path
from typing import Literal

import cv2
import pandas as pd

from facever.core.console import track
from facever.core.files import atomic_folder
from facever.core.seeding import stream
from facever.data.machine import most_processes
from facever.data.manifest import Manifest
from facever.data.pairs import PairList
from facever.data.preprocessing import Image
from facever.data.synthetic.drawing import draw
from facever.data.synthetic.exposure import expose
from facever.data.synthetic.identity import Identity
from facever.data.synthetic.shot import Shot
from facever.errors import ConfigError

Format = Literal["jpg", "png"]
_Rows = list[tuple[str, str, int]]
_JPEG_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 92]


def face(identity: int, shot: int, size: int = 64, seed: int = 0) -> Image:
    """Draw one image of a synthetic person.

    Args:
        identity: The person's number, 0 or larger, in the population of the seed.
        shot: The image's number, 0 or larger.
        size: Height and width in pixels, at least 8.
        seed: Seed of the population.

    Returns:
        uint8 [size, size, 3], RGB; always the same for the same four numbers.

    Raises:
        ConfigError: A number is negative or the size below 8.
    """
    _check(size, identity=identity, shot=shot, seed=seed)
    return _shoot(Identity.draw(seed, identity), identity, shot, size, seed)


def synthesize(
    out: str | Path,
    identities: int,
    images_per_identity: int,
    size: int = 64,
    seed: int = 0,
    workers: int = 1,
    format: Format = "jpg",
    pairs: int = 0,
) -> Manifest:
    """Write synthetic people: a folder per identity, manifest.csv and optionally pairs.csv.

    Args:
        out: The output folder; it must be new or empty.
        identities: Number of identities.
        images_per_identity: Number of images per identity.
        size: Height and width in pixels, at least 8.
        seed: Seed of the population.
        workers: Number of processes; the images do not depend on it.
        format: "jpg" (quality 92) or "png" (exactly the pixels of `face`).
        pairs: Number of genuine pairs, and of impostor pairs, in pairs.csv.

    Returns:
        The manifest of the images, with the path, identity and shot of each.

    Raises:
        ConfigError: A number is out of range, the format is unknown, there are fewer pairs than
            requested, or `out` is not empty.
    """
    _check(size, seed=seed)
    if min(identities, images_per_identity, workers) < 1:
        raise ConfigError(
            f"{identities} identities x {images_per_identity} images by {workers} processes: "
            "all three must be at least 1"
        )
    if workers > (most := most_processes()):
        raise ConfigError(f"{workers} processes (allowed on this machine: at most {most})")
    if format not in ("jpg", "png"):
        raise ConfigError(f"unknown image format '{format}' (allowed: jpg, png)")
    genuine = identities * comb(images_per_identity, 2)
    impostor = comb(identities, 2) * images_per_identity**2
    if not 0 <= pairs <= min(genuine, impostor):
        raise ConfigError(
            f"{pairs} pairs of each kind: the images make {genuine} genuine and {impostor} impostor"
        )
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} already exists: give a new or an empty folder")
    with atomic_folder(out) as folder:
        write = partial(_write, folder, images_per_identity, size, seed, format)
        done = track(_mapped(write, identities, workers), "drawing", identities, unit="people")
        frame = pd.DataFrame(chain.from_iterable(done), columns=["path", "identity", "shot"])
        Manifest.from_frame(frame, folder, f"synthetic{seed}").save(folder / "manifest.csv")
        if pairs:
            _draw_pairs(frame, images_per_identity, pairs, seed).save(folder / "pairs.csv")
    return Manifest.from_csv(out / "manifest.csv")


def _shoot(person: Identity, identity: int, shot: int, size: int, seed: int) -> Image:
    circumstances = Shot.draw(seed, identity, shot, person)
    return expose(draw(person, circumstances, size), circumstances, size)


def _write(folder: Path, images: int, size: int, seed: int, format: Format, identity: int) -> _Rows:
    """Write all images of one person; return their rows."""
    person, name = Identity.draw(seed, identity), f"person{identity:06d}"
    (folder / name).mkdir()
    rows = []
    for shot in range(images):
        path = f"{name}/{shot:04d}.{format}"
        pixels = cv2.cvtColor(_shoot(person, identity, shot, size, seed), cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(f".{format}", pixels, _JPEG_QUALITY if format == "jpg" else [])
        (folder / path).write_bytes(data.tobytes())
        rows.append((path, name, shot))
    return rows


def _mapped(work: Callable[[int], _Rows], count: int, workers: int) -> Iterator[_Rows]:
    """Yield work(0), work(1), ... computed in this process or in others."""
    if workers == 1:
        yield from map(work, range(count))
        return
    chunk = max(1, min(64, count // (4 * workers)))
    with ProcessPoolExecutor(workers, initializer=cv2.setNumThreads, initargs=(0,)) as pool:
        yield from pool.map(work, range(count), chunksize=chunk)


def _draw_pairs(frame: pd.DataFrame, images: int, count: int, seed: int) -> PairList:
    """Draw as many genuine as impostor pairs, each once, from people of `images` rows each."""
    random = stream(seed, "synthetic pairs")
    rows: list[tuple[int, int]] = []
    for same in (True, False):
        drawn: dict[tuple[int, int], None] = {}  # an ordered set
        while len(drawn) < count:
            people = random.integers(len(frame) // images, size=1 if same else 2)
            shots = random.integers(images, size=2)
            a, b = sorted((people * images + shots).tolist())
            if a != b and (a // images == b // images) == same:
                drawn[a, b] = None
        rows.extend(drawn)
    first, second = (frame.iloc[list(side)].reset_index() for side in zip(*rows, strict=True))
    table = {
        "a": first["path"],
        "b": second["path"],
        "same": first["identity"] == second["identity"],
        "identity_a": first["identity"],
        "identity_b": second["identity"],
    }
    return PairList(pd.DataFrame(table))


def _check(size: int, **numbers: int) -> None:
    if not 8 <= size <= 4096:
        raise ConfigError(f"size is {size} (allowed: 8 to 4096 pixels)")
    for name, number in numbers.items():
        if number < 0:
            raise ConfigError(f"{name} is {number} (allowed: at least 0)")
