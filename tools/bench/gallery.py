"""A gallery against what SQLite and FAISS do alone, in ratios; one run, one table.

    python tools/bench/gallery.py [--rows 100000] [--large 1000000] [--json]
    python tools/bench/gallery.py --only search search_with_torch --rows 20000

Every part runs in a process of its own, on 512-d vectors of made-up people with four images each.
A ratio of searches has the name of what compared: `int8_products` and `bfloat16_products` (by
torch, where it is loaded), `scalar_quantiser` (FAISS's) or `float32`. FAISS's flat index is
measured with its default threshold for matrix products and with 1 ("tuned"). The OpenBLAS of
FAISS's wheel does not know every CPU: `OPENBLAS_CORETYPE=SkylakeX` makes it use AVX-512 (the
first line on standard error names what it uses). `pip install 'facever[bench]'` adds usearch's
exact search; a missing one is named there, too.
"""

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

import faiss
import numpy as np
from _figures import Rounds, as_json, as_table, at_most, figures_of, ratios
from common import WIDTH, faces, forget_peak, in_turns, peak, seconds
from threadpoolctl import threadpool_info

from facever.embeddings.embedding_set import EmbeddingSet
from facever.gallery.gallery import Gallery
from facever.gallery.index.screen import engine_for
from facever.gallery.index.snapshot import FILE

try:
    import usearch.index as usearch
except ImportError:  # the extra `bench`
    usearch = None

BATCH, K, REPEATS = 1000, 5, 5
BATCHES = (1, 4, 16, 64, 128, BATCH)
FINGERPRINT = "bench"

LIMITS = {
    "scalar_quantiser_1_over_faiss": (at_most, 0.35),
    **{
        f"{engine}_{batch}_over_tuned": (at_most, wanted)
        for engine, wanted in (
            ("int8_products", 0.65),
            ("bfloat16_products", 0.65),
            ("scalar_quantiser", 1.05),
            ("float32", 1.05),
        )
        for batch in BATCHES[1:]
    },
    **{
        f"{engine}_{batch}_planted_over_plain": (at_most, 1.1)
        for engine in ("scalar_quantiser", "int8_products", "float32")
        for batch in (1, 64)
    },
    "over_bare_loop": (at_most, 3.0),
    "open_s": (at_most, 1.0),
    "remove_1000_s": (at_most, 0.5),
    "memory_over_vectors": (at_most, 1.3),
    "enrolling_memory_over_vectors": (at_most, 1.3),
}


def embeddings(rows: int, seed: int = 0) -> EmbeddingSet:
    vectors, who = faces(rows, seed=seed)
    names = np.char.add("person ", who.astype(str)).tolist()
    paths = [f"{row:08d}.jpg" for row in range(rows)]
    return EmbeddingSet.from_arrays(vectors, names, fingerprint=FINGERPRINT, path=paths)


def new_gallery(folder: Path) -> Gallery:
    return Gallery.create(folder / "gallery", fingerprint=FINGERPRINT, dimension=WIDTH)


def bench_search(rows: int, folder: Path) -> dict[str, float]:
    """Search, one probe and batches, over FAISS's exact index of the same vectors."""
    given = embeddings(rows)
    rounds = REPEATS if rows <= 200_000 else 2
    with new_gallery(folder) as gallery:
        gallery.enroll(given)
        gallery.rebuild()
        raw = flat(given.vectors)
        probes = faces(BATCH, seed=1)[0]
        answers = gallery.search(probes, K, fingerprint=FINGERPRINT)
        nearest = raw.search(probes, 1)[1][:, 0]
        names = given.identities
        assert all(
            answer.candidates[0].person == names[row]
            for answer, row in zip(answers, nearest, strict=True)
        )
        found = compared(gallery, raw, BATCHES, rounds, given.vectors)
        screen = gallery.info().screen
        found["fallbacks"] = -1 if screen is None else screen["fallbacks"]
    return found


def flat(vectors: np.ndarray) -> faiss.IndexFlatIP:
    """Return FAISS's exact index of vectors."""
    raw = faiss.IndexFlatIP(WIDTH)
    for start in range(0, len(vectors), 1 << 16):
        raw.add(np.ascontiguousarray(vectors[start : start + (1 << 16)]))
    return raw


def compared(
    gallery: Gallery,
    raw: faiss.IndexFlatIP,
    batches: Iterable[int],
    rounds: int,
    vectors: np.ndarray | None = None,
) -> dict[str, float]:
    """Return the times of searches of a gallery, of FAISS and, given the vectors, of usearch."""
    probes, found = faces(BATCH, seed=1)[0], {}
    for batch in batches:
        engine = engine_for(batch, raw.ntotal, WIDTH).replace(" ", "_")
        times = 20 if batch == 1 else 1
        some = [probes[row : row + batch] for row in range(times)]
        works = [
            lambda some=some: [gallery.search(q, K, fingerprint=FINGERPRINT) for q in some],
            lambda some=some: [raw.search(q, K) for q in some],
            lambda some=some: with_products(lambda: [raw.search(q, K) for q in some]),
        ]
        if usearch is not None and vectors is not None:
            works.append(lambda some=some: [by_usearch(vectors, q) for q in some])
        taken = in_turns(rounds, *works)
        for name, each in zip(("gallery", "faiss", "tuned", "usearch"), taken, strict=False):
            found[f"{name}_{batch}_s"] = Rounds([one / times for one in each])
        found[f"{engine}_{batch}_over_faiss"] = ratios(taken[0], taken[1])
        found[f"{engine}_{batch}_over_tuned"] = ratios(taken[0], taken[2])
    return found


def bench_planted(rows: int, folder: Path) -> dict[str, float]:
    """Search with one planted one-hot vector, over the same gallery without it."""
    vectors, who = faces(rows)
    names = np.char.add("person ", who.astype(str)).tolist()
    galleries, found = [], {}
    with ExitStack() as stack:
        for number, planted in enumerate((vectors, vectors.copy())):
            planted[:number] = np.eye(1, WIDTH)
            (folder / str(number)).mkdir()
            gallery = stack.enter_context(new_gallery(folder / str(number)))
            gallery.enroll(planted, names, fingerprint=FINGERPRINT)
            gallery.rebuild()
            galleries.append(gallery)
        probes = faces(64, seed=1)[0]
        for batch in (1, 64):
            engine = engine_for(batch, rows, WIDTH).replace(" ", "_")
            some = [probes[row : row + batch] for row in range(20 if batch == 1 else 1)]
            plain, planted = in_turns(
                REPEATS,
                *(
                    lambda one=one, some=some: [
                        one.search(q, K, fingerprint=FINGERPRINT) for q in some
                    ]
                    for one in galleries
                ),
            )
            found[f"{engine}_{batch}_planted_over_plain"] = ratios(planted, plain)
    return found


def bench_search_with_torch(rows: int, folder: Path) -> dict[str, float]:
    """The same in a process that has loaded torch, with as many threads as FAISS."""
    import torch

    torch.set_num_threads(faiss.omp_get_max_threads())
    return bench_search(rows, folder)


def with_products(search: Callable[[], object]) -> None:
    """Search with FAISS's threshold for matrix products at 1."""
    usual = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = 1
    try:
        search()
    finally:
        faiss.cvar.distance_compute_blas_threshold = usual


def by_usearch(vectors: np.ndarray, probes: np.ndarray) -> None:
    threads = faiss.omp_get_max_threads()
    usearch.search(vectors, probes, K, usearch.MetricKind.IP, exact=True, threads=threads)


def bare_loop(given: EmbeddingSet, path: Path) -> None:
    """Write the vectors to SQLite, durably, and add them to FAISS."""
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE images (image INTEGER PRIMARY KEY, person TEXT, vector BLOB)")
        pairs = zip(given.identities, given.vectors, strict=True)
        db.executemany(
            "INSERT INTO images VALUES (?, ?, ?)",
            ((row, person, vector.tobytes()) for row, (person, vector) in enumerate(pairs)),
        )
    db.close()
    faiss.IndexFlatIP(WIDTH).add(given.vectors)


def bench_enrolment(rows: int, folder: Path) -> dict[str, float]:
    """Enrol an embedding set, until every process finds it and until its index is written."""
    given = embeddings(rows)
    bare, enrolled, whole = [], [], []
    for number in range(3):
        place = folder / str(number)
        place.mkdir()
        bare += in_turns(1, lambda: bare_loop(given, place / "bare.db"))[0]  # noqa: B023
        gallery = new_gallery(place)
        start = time.perf_counter()
        gallery.enroll(given)
        enrolled.append(time.perf_counter() - start)
        gallery.close()
        whole.append(time.perf_counter() - start)
    return {
        "bare_loop_s": Rounds(bare),
        "enroll_s": Rounds(enrolled),
        "over_bare_loop": ratios(enrolled, bare),
        "with_index_written_s": Rounds(whole),
        "rows_per_s": Rounds([rows / taken for taken in enrolled]),
    }


def bench_removal(rows: int, folder: Path) -> dict[str, float]:
    """Remove people of a thousand images, until no answer has them; three times."""
    given = embeddings(rows)
    removed, after = [], []
    with new_gallery(folder) as gallery:
        gallery.enroll(given)
        probes = given.vectors[:1]
        gallery.search(probes, K, fingerprint=FINGERPRINT)
        people = list(dict.fromkeys(given.identities.tolist()))
        for number in range(3):
            gone = people[number * BATCH // 4 : (number + 1) * BATCH // 4]
            removed += in_turns(1, lambda: gallery.remove_all(gone))[0]  # noqa: B023
            after += in_turns(1, lambda: gallery.search(probes, K, fingerprint=FINGERPRINT))[0]
        assert gallery.info().images == rows - 3 * BATCH
    return {"remove_1000_s": Rounds(removed), "first_search_after_s": Rounds(after)}


def bench_large(rows: int, folder: Path) -> dict[str, float]:
    """Fill a large gallery in blocks; open it, search it, and look at memory, each by itself."""
    rounds: dict[str, list[float]] = {}
    for step in ("fill", "open", "open", "open", "compare"):
        command = [sys.executable, __file__, "--step", step, "--large", str(rows)]
        command += ["--folder", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        for name, values in json.loads(done.stdout).items():
            rounds.setdefault(name, []).extend(values)
    return {name: Rounds(values) for name, values in rounds.items()}


def fill(rows: int, folder: Path) -> dict[str, float]:
    each = 10_000
    embeddings(each)
    with new_gallery(folder) as gallery:
        forget_peak()
        before = peak()
        start = time.perf_counter()
        for block in range(-(-rows // each)):
            given = embeddings(min(each, rows - block * each), seed=block)
            names = [f"{block}: {name}" for name in given.identities]
            sources = [f"{block}/{path}" for path in given.rows["path"]]
            gallery.enroll(given, names, sources=sources)
    taken = time.perf_counter() - start
    files = {path.name: path.stat().st_size / 1e6 for path in (folder / "gallery").iterdir()}
    return {
        "fill_s": taken,
        "enrolling_memory_over_vectors": (peak() - before) * 2**20 / (4 * rows * WIDTH),
        "store_mb": files["gallery.db"],
        "index_mb": files[FILE],
    }


def open_large(rows: int, folder: Path) -> dict[str, float]:
    probe = faces(1, seed=5)[0]
    forget_peak()
    before = peak()
    start = time.perf_counter()
    gallery = Gallery.open(folder / "gallery")
    serves = gallery._index.refresh().kind  # the index is there, checked whole
    opened = time.perf_counter() - start
    assert serves == "flat"
    gallery.search(probe, K, fingerprint=FINGERPRINT)
    first = time.perf_counter() - start
    again = seconds(lambda: gallery.search(probe, K, fingerprint=FINGERPRINT), REPEATS)
    batch = seconds(lambda: gallery.search(faces(64, seed=6)[0], K, fingerprint=FINGERPRINT))
    gallery.close()
    return {
        "open_s": opened,
        "open_and_first_answer_s": first,
        "single_s": again,
        "batch_of_64_s": batch,
        "memory_over_vectors": (peak() - before) * 2**20 / (4 * rows * WIDTH),
    }


def compare_large(rows: int, folder: Path) -> dict[str, float]:
    """Search a large gallery, over FAISS's exact index of the same vectors."""
    with Gallery.open(folder / "gallery") as gallery:
        snapshot, *newer = (part.entries.vectors for part in gallery._index.refresh().parts)
        raw = flat(snapshot)
        for vectors in newer:
            raw.add(np.ascontiguousarray(vectors))
        assert raw.ntotal == rows
        return compared(gallery, raw, (1, 64), 2)


def main() -> None:
    parts = {
        "search": bench_search,
        "search_with_torch": bench_search_with_torch,
        "planted": bench_planted,
        "enrolment": bench_enrolment,
        "removal": bench_removal,
        "large": bench_large,
    }
    steps = {"fill": fill, "open": open_large, "compare": compare_large}
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--only", choices=parts, nargs="+", default=list(parts))
    parser.add_argument("--step", choices=[*parts, *steps], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.step:
        work = {**steps, **parts}[options.step]
        rows = options.large if options.step in ("large", *steps) else options.rows
        measured = work(rows, options.folder).items()
        print(json.dumps({name: getattr(one, "values", [one]) for name, one in measured}))
        return
    libraries = {one["filepath"]: one.get("architecture") for one in threadpool_info()}
    of_faiss = {kind for path, kind in libraries.items() if kind and "faiss" in path}
    print(f"FAISS's OpenBLAS: {', '.join(of_faiss) or 'unknown'}", file=sys.stderr)
    if usearch is None:
        print("usearch is not installed: pip install 'facever[bench]'", file=sys.stderr)
    found = {}
    for part in options.only:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--step", part, "--folder", folder]
            command += ["--rows", str(options.rows), "--large", str(options.large)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found[part] = {name: Rounds(one) for name, one in json.loads(done.stdout).items()}
    figures = figures_of(found, LIMITS)
    print(as_json(figures) if options.json else as_table(figures))


if __name__ == "__main__":
    main()
