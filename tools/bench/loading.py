"""How fast the images of one data set are loaded from files, tar shards and RecordIO.

The same JPEG files of LFW (or generated faces) are written as .tar shards and as insightface's
.rec, and loaded in turns as training loads them (shuffled, augmented) and as embedding does (in
order), in this process without workers.

    python tools/bench/loading.py --json
"""

import argparse
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from _figures import Figure, Rounds, as_json, as_table, at_least, ratios
from common import in_turns

from facever.data.augmentation import AugmentationConfig
from facever.data.decode import read_bytes
from facever.data.loading import plain_batches, training_batches
from facever.data.manifest import Manifest
from facever.data.preprocessing import Preprocessing
from facever.data.readers import read
from facever.data.samplers import ShuffleSampler
from facever.data.shards import write_shards
from facever.data.sources import find
from facever.data.synthesize import synthesize
from facever.errors import DataError

BATCH, WANTED = 128, 0.9
MAGIC = struct.pack("<I", 0xCED7230A)


def images_for_it(folder: Path, most: int) -> Manifest:
    """Return LFW where it is at hand, else generated faces."""
    try:
        manifest = read(find("lfw"))
    except DataError:
        manifest = synthesize(folder / "faces", identities=most // 4, images_per_identity=4)
    return manifest.select(range(min(most, len(manifest))))


def write_recordio(manifest: Manifest, folder: Path) -> Path:
    """Write train.rec and train.idx as insightface packs a training set."""
    labels = pd.factorize(manifest.frame["identity"])[0]
    contents = [
        (read_bytes(manifest.locate(row)), float(labels[row])) for row in range(len(labels))
    ]
    people = [b""] * int(labels.max() + 1)
    header = (b"", float(len(contents) + 1), float(len(contents) + 1 + len(people)))
    folder.mkdir()
    offset, index = 0, []
    with (folder / "train.rec").open("wb") as file:
        for number, (image, *said) in enumerate(
            [header, *contents, *((b"", 1.0, 2.0) for _ in people)]
        ):
            flag = len(said) if len(said) > 1 else 0
            payload = struct.pack("<IfQQ", flag, 0.0 if flag else said[0], number, 0)
            payload += (struct.pack(f"<{flag}f", *said) if flag else b"") + image
            pieces = payload.split(MAGIC)  # the magic inside a payload splits it
            kinds = [0] if len(pieces) == 1 else [1, *[2] * (len(pieces) - 2), 3]
            record = b"".join(
                MAGIC + struct.pack("<I", kind << 29 | len(piece)) + piece + bytes(-len(piece) % 4)
                for kind, piece in zip(kinds, pieces, strict=True)
            )
            file.write(record)
            index.append(f"{number}\t{offset}\n")
            offset += len(record)
    (folder / "train.idx").write_text("".join(index))
    return folder


def embedding(manifest: Manifest, preprocessing: Preprocessing) -> Callable[[], int]:
    return lambda: sum(
        len(batch.images) for batch in plain_batches(manifest, preprocessing, batch_size=BATCH)
    )


def training(manifest: Manifest, preprocessing: Preprocessing) -> Callable[[], int]:
    def load() -> int:
        sampler = ShuffleSampler(len(manifest), BATCH, seed=0)
        batches = training_batches(
            manifest, preprocessing, AugmentationConfig(), sampler, seed=0, held=1
        )
        return sum(len(batch.images) for batch in batches)

    return load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    preprocessing = Preprocessing(size=(112, 112))
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = images_for_it(folder, options.images)
        sets = {
            "files": files,
            "tar": write_shards(files, folder / "shards"),
            "rec": read(write_recordio(files, folder / "rec")),
        }
        for purpose, load in (("embedding", embedding), ("training", training)):
            works = [load(manifest, preprocessing) for manifest in sets.values()]
            taken = dict(zip(sets, in_turns(options.rounds, *works), strict=True))
            for kind, seconds in taken.items():
                figures.append(
                    Figure(f"{purpose}: {kind}", len(files) / Rounds(seconds), "images/s")
                )
            figures.append(
                at_least(
                    f"{purpose}: rec over tar", ratios(taken["tar"], taken["rec"]), "ratio", WANTED
                )
            )
            figures.append(
                at_least(
                    f"{purpose}: tar over files",
                    ratios(taken["files"], taken["tar"]),
                    "ratio",
                    None,
                )
            )
    print(as_json(figures) if options.json else as_table(figures))


if __name__ == "__main__":
    main()
