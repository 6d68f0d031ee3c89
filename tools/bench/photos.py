"""Photos through a public model against the libraries alone, in ratios; one run, one table.

    python tools/bench/photos.py [--photos 1500] [--rows 100000] [--rounds 5] [--json]
    python tools/bench/photos.py --only crowd

It needs FACEVER_DATA with lfw/raw_sample, and the public models `yunet` and `sface`. The bare loop
decodes, detects, aligns and embeds with OpenCV and onnxruntime, one photo after the other in each
of as many threads as there are cores, and writes the vectors. It judges no quality, keeps no box
and checks no damaged file.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from _figures import Rounds, as_json, as_table, at_least, at_most, figures_of, ratios
from common import in_turns

from facever.catalogue import entry, path_of
from facever.core.cache_folder import cache_folder
from facever.data.machine import usable_cpus
from facever.faces import FaceCropper, similarity_transform, template

PLACES = 36
_BEFORE_SUPPRESSION = 5000  # boxes, as facever has it
_OVERLAP = 0.3
_LONGEST = 960

LIMITS = {
    "embed_over_bare_loop": (at_least, 0.9),
    "crops_over_bare_detector": (at_most, 1.2),
}


def real_photos() -> list[Path]:
    folder = Path(os.environ.get("FACEVER_DATA", "")) / "lfw" / "raw_sample"
    photos = sorted(folder.glob("*/*.jpg")) or sorted(folder.glob("*.jpg"))
    if not photos:
        raise SystemExit("FACEVER_DATA has no lfw/raw_sample: set it to a folder with real photos")
    return photos


class Bare:
    """What the libraries do without facever; one for each thread."""

    def __init__(self) -> None:
        import onnxruntime

        self.detector = cv2.FaceDetectorYN.create(
            str(path_of("yunet")), "", (320, 320), 0.7, _OVERLAP, _BEFORE_SUPPRESSION
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.disable_quant_qdq", "1")  # as facever does
        repaired = cache_folder() / "onnx" / f"{entry('sface').sha256}.onnx"
        self.session = onnxruntime.InferenceSession(
            str(repaired), options, providers=["CPUExecutionProvider"]
        )
        self.input = self.session.get_inputs()[0].name
        self.target = template("arcface-112", 112)

    def detect(self, photo: np.ndarray) -> np.ndarray:
        self.detector.setInputSize((photo.shape[1], photo.shape[0]))
        rows = self.detector.detect(photo)[1]
        return np.empty((0, 15), np.float32) if rows is None else rows

    def align(self, photo: np.ndarray, row: np.ndarray) -> np.ndarray:
        matrix = similarity_transform(row[4:14].reshape(5, 2), self.target)
        return cv2.warpAffine(photo, matrix, (112, 112), flags=cv2.INTER_LINEAR)

    def embed(self, crop: np.ndarray) -> np.ndarray:
        pixels = crop[None, ..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
        vector: np.ndarray = self.session.run(None, {self.input: pixels})[0][0]
        return vector

    def vector(self, path: Path) -> np.ndarray | None:
        photo = cv2.imread(str(path))
        rows = self.detect(photo)
        if not len(rows):
            return None
        largest = rows[np.argmax(rows[:, 2] * rows[:, 3])]
        return self.embed(self.align(photo, largest))


def bare_loop(folder: Path) -> None:
    """Embed every photo of a folder with all cores and write the vectors."""
    own = threading.local()

    def vector(path: Path) -> np.ndarray | None:
        if not hasattr(own, "bare"):
            own.bare = Bare()
        found: np.ndarray | None = own.bare.vector(path)
        return found

    cv2.setNumThreads(1)
    with ThreadPoolExecutor(usable_cpus()) as pool:
        found = [one for one in pool.map(vector, sorted(folder.glob("*.jpg"))) if one is not None]
    np.save(folder.parent / "bare.npy", np.stack(found))


def bench_throughput(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """`facever embed sface PHOTOS` and the bare loop, each a process from its start to its end."""
    photos, given = folder / "photos", real_photos()
    photos.mkdir()
    for number in range(options.photos):
        source = given[number % len(given)]
        (photos / f"{number:06d}.jpg").write_bytes(source.read_bytes())
    embed = [sys.executable, "-m", "facever", "embed", "sface", str(photos), "--overwrite"]
    bare = [sys.executable, __file__, "--bare", str(photos)]

    def run(words: list[str]) -> None:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(words)}: {done.stderr}")

    ours, theirs = in_turns(
        min(3, options.rounds),
        lambda: run([*embed, "--out", str(folder / "embeddings")]),
        lambda: run(bare),
    )
    return {
        "embed_s": Rounds(ours),
        "bare_loop_s": Rounds(theirs),
        "embed_photos_per_second": Rounds([options.photos / taken for taken in ours]),
        "embed_over_bare_loop": ratios(theirs, ours),
    }


def bench_latency(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """One photo from its file to the answer of a gallery, and the parts of it."""
    from facever import EmbeddingSet, Gallery, Recognizer, load_model
    from facever.data.decode import decode

    model = load_model("sface")
    random = np.random.default_rng(0)
    rows = random.standard_normal((options.rows, model.dimension), dtype=np.float32)
    people = [f"person {row}" for row in range(options.rows)]
    given = EmbeddingSet.from_arrays(rows, people, fingerprint=model.fingerprint)
    paths = real_photos()[:30]
    cropper = FaceCropper(which="central")
    photos = [decode(path) for path in paths]
    faces = [cropper.faces(photo)[0] for photo in photos]
    crops = [
        cropper.cut(photo, face.landmarks, (112, 112))
        for photo, face in zip(photos, faces, strict=True)
    ]
    vectors = model.embed(crops, photos=False)
    with Gallery.create(
        folder / "gallery", fingerprint=model.fingerprint, dimension=model.dimension
    ) as gallery:
        gallery.enroll(given)
        recognizer = Recognizer(model, gallery, photos=cropper)
        parts: dict[str, Callable[[int], object]] = {
            "decode": lambda i: decode(paths[i]),
            "detect": lambda i: cropper.faces(photos[i]),
            "align": lambda i: cropper.cut(photos[i], faces[i].landmarks, (112, 112)),
            "quality": lambda i: cropper.judge(photos[i], faces[i], crops[i]),
            "embed": lambda i: model.embed(crops[i], photos=False),
            "search": lambda i: gallery.search(
                vectors[i : i + 1], 5, fingerprint=model.fingerprint
            ),
            "whole": lambda i: recognizer.search(paths[i]),
        }
        taken = in_turns(options.rounds, *(each_of(part, len(paths)) for part in parts.values()))
    milliseconds = {
        name: [1000 * one / len(paths) for one in times]
        for name, times in zip(parts, taken, strict=True)
    }
    whole = milliseconds.pop("whole")
    together = [sum(times) for times in zip(*milliseconds.values(), strict=True)]
    return {
        **{f"{name}_ms": Rounds(times) for name, times in milliseconds.items()},
        "whole_ms": Rounds(whole),
        "whole_over_parts": ratios(whole, together),
    }


def each_of(work: Callable[[int], object], count: int) -> Callable[[], None]:
    def whole() -> None:
        for number in range(count):
            work(number)

    return whole


def bench_crowd(options: argparse.Namespace, _: Path) -> dict[str, float]:
    """A photo of 1920 x 1080 with 36 people: all faces found, and cut, judged and described."""
    mosaic = crowd([cv2.imread(str(path)) for path in real_photos()[:PLACES]])
    bare, cropper = Bare(), FaceCropper(which="all", min_quality=0)
    factor = _LONGEST / max(mosaic.shape[:2])
    reduced = cv2.resize(mosaic, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    photo = cv2.cvtColor(mosaic, cv2.COLOR_BGR2RGB)
    found = len(cropper.crops(photo, (112, 112)))
    if found < PLACES:
        raise SystemExit(f"{found} faces found of {PLACES}")

    def parts_of(work: Callable[[], object]) -> Callable[[], None]:
        return each_of(lambda _: work(), 10)

    whole, detection, full, small = in_turns(
        options.rounds,
        parts_of(lambda: cropper.crops(photo, (112, 112))),
        parts_of(lambda: cropper.detector.detect(photo)),
        parts_of(lambda: bare.detect(mosaic)),
        parts_of(lambda: bare.detect(reduced)),
    )
    return {
        "faces": float(found),
        "crops_ms": Rounds([100 * taken for taken in whole]),
        "detect_ms": Rounds([100 * taken for taken in detection]),
        "bare_detector_ms": Rounds([100 * taken for taken in full]),
        "bare_detector_reduced_ms": Rounds([100 * taken for taken in small]),
        "crops_over_bare_detector": ratios(whole, full),
        "crops_over_bare_detector_reduced": ratios(whole, small),
        "detect_over_bare_detector_reduced": ratios(detection, small),
    }


def crowd(photos: list[np.ndarray]) -> np.ndarray:
    """Return 1080 x 1920 pixels with 4 rows of 9 photos."""
    mosaic = np.zeros((1080, 1920, 3), np.uint8)
    for place, photo in enumerate(photos):
        row, column = divmod(place, 9)
        mosaic[row * 270 + 10 : row * 270 + 260, column * 213 : column * 213 + 213] = photo[
            :250, 18:231
        ]
    return mosaic


PARTS = {"throughput": bench_throughput, "latency": bench_latency, "crowd": bench_crowd}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=1500, help="how many the throughput has")
    parser.add_argument("--rows", type=int, default=100_000, help="people that are searched")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.bare:
        bare_loop(options.bare)
        return
    from facever import load_model

    load_model("sface")  # its repaired copy is made before anything is timed
    found, started = {}, time.perf_counter()
    for name, bench in PARTS.items():
        if options.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                found[name] = bench(options, Path(folder))
    figures = figures_of(found, LIMITS)
    taken = time.perf_counter() - started
    print(as_json(figures, seconds=taken) if options.json else as_table(figures))


if __name__ == "__main__":
    main()
