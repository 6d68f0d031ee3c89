"""What a gallery in PostgreSQL needs for each image: the constants of docs/scaling.md.

A new server with PostgreSQL's default settings (fsync on) and a gallery of random vectors of width
512, enrolled in blocks, four images for each person. For each image:

- table, index: bytes of the gallery's tables and of their indexes;
- wal: bytes of WAL that enrolment writes, which archives keep and replicas receive;
- enrol: images per second, one writer; read: images per second that a node reads at its start.

And for the gallery: changes of one image per second, one writer, each durable; the microseconds of
asking for the newest change; the megabytes per second of pg_basebackup.

    python -m tools.bench.postgres_sizes --rows 100000 --json
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from facever.gallery.records import Binding, NewImages
from facever.gallery.store.postgres.address import parse_address
from facever.gallery.store.store import Store
from tests.postgres.server import Server

WIDTH, EACH = 512, 4
SIZES = """
SELECT sum(pg_table_size(oid)), sum(pg_indexes_size(oid)) FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'facever_gallery'::regnamespace
"""


def images(first: int, count: int) -> NewImages:
    """Make images of people whose vectors are random."""
    vectors = np.random.default_rng(first).standard_normal((count, WIDTH), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    numbers = range(first, first + count)
    return NewImages(
        [f"person {number // EACH:09d}" for number in numbers],
        vectors,
        [20.0] * count,
        [f"/data/people/person {number // EACH:09d}/{number:09d}.jpg" for number in numbers],
        [f"{number:064x}" for number in numbers],
        None,
        None,
        None,
    )


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(rows: int, block: int) -> dict[str, float]:
    """Return the constants, measured with so many images, enrolled in blocks."""
    found: dict[str, float] = {"rows": rows, "block": block}
    with Server.make(Path(tempfile.mkdtemp(prefix="facever-bench-"))) as server:
        address = parse_address(server.address())
        Store.create(address, Binding("bench", WIDTH))
        store = Store.open(address, 10)
        blocks = [images(first, block) for first in range(0, rows, block)]
        before = server.execute("SELECT pg_current_wal_lsn()")[0][0]
        taken = seconds(lambda: [store.enroll(one, {}, "keep") for one in blocks])
        (wal,) = server.execute("SELECT pg_current_wal_lsn() - %s::pg_lsn", [before])[0]
        table, index = server.execute(SIZES)[0]
        found["table_bytes_per_image"] = round(float(table) / rows)
        found["index_bytes_per_image"] = round(float(index) / rows)
        found["wal_bytes_per_image"] = round(float(wal) / rows)
        found["enrol_images_per_second"] = round(rows / taken)
        found["read_images_per_second"] = round(rows / seconds(lambda: store.entries_after(0)))
        small = [images(rows + number, 1) for number in range(200)]
        taken = seconds(lambda: [store.enroll(one, {}, "keep") for one in small])
        found["changes_per_second"] = round(len(small) / taken)
        taken = seconds(lambda: [store.change() for _ in range(1000)])
        found["microseconds_for_newest_change"] = round(1000 * taken)
        store.close()
        words = [f"--dbname={server.address()}", f"--pgdata={server.folder / 'copy'}"]
        taken = seconds(lambda: server.run("pg_basebackup", *words, "--checkpoint=fast"))
        files = sum(one.stat().st_size for one in (server.folder / "copy").rglob("*"))
        found["backup_megabytes_per_second"] = round(files / 1e6 / taken)
    return found


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description="What a gallery in PostgreSQL needs per image.")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--block", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.rows, given.block)
    if given.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name.replace('_', ' '):32} {value:>12,}")


if __name__ == "__main__":
    main()
