"""A gallery in PostgreSQL against what PostgreSQL and an embedded gallery do, in ratios; one run.

    PYTHONPATH=. python tools/bench/postgres.py [--rows 100000] [--json]
    PYTHONPATH=. python tools/bench/postgres.py --only writers --changes 400

A new server with PostgreSQL's default settings (fsync on) at a Unix socket, on 512-d vectors of
made-up people with four images each:

- enrolment: `Gallery.enroll` over a binary COPY of the same vectors, uncompressed, into one table;
- start: opening the gallery until its index can answer, without a snapshot, over a SELECT of the
  vectors into an array;
- search: by a node's own index over an embedded gallery of the same people;
- removal: answers of a second node that contain the person just removed, at its first question;
- writers: changes of one image each per second by eight processes over those by one.
"""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import psycopg
from _figures import Rounds, as_json, as_table, at_least, at_most, figures_of, ratios
from common import WIDTH, faces, in_turns
from gallery import FINGERPRINT, K, embeddings

from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import FaceverError
from facever.gallery.gallery import Gallery
from tests.postgres.server import Server

ROUNDS, WRITERS = 3, 8
REMOVALS = 50
SAME = {"fingerprint": FINGERPRINT}

LIMITS = {
    "over_bare_copy": (at_most, 3.0),
    "over_reading_vectors": (at_most, 1.5),
    "1_over_embedded": (at_most, 1.25),
    "64_over_embedded": (at_most, 1.05),
    "answers_with_removed": (at_most, 0),
    "8_writers_over_one": (at_least, 0.8),
    "errors": (at_most, 0),
    "gaps": (at_most, 0),
}


class Bench:
    """The parts, on one server.

    Args:
        server: A running server.
        folder: An empty folder for embedded galleries.
        rows: Number of images.
        changes: Number of changes in a round of `bench_writers`.
    """

    def __init__(self, server: Server, folder: Path, rows: int, changes: int) -> None:
        self.server, self.folder = server, folder
        self.rows, self.changes = rows, changes

    def address(self, name: str) -> str:
        return self.server.address(gallery=name)

    def new_gallery(self, name: str) -> Gallery:
        return Gallery.create(self.address(name), dimension=WIDTH, **SAME)

    def filled(self, name: str) -> tuple[Gallery, EmbeddingSet]:
        given, gallery = embeddings(self.rows), self.new_gallery(name)
        gallery.enroll(given)
        return gallery, given

    def bench_enrolment(self) -> dict[str, float]:
        given = embeddings(self.rows)
        bare, enrolled = [], []
        for number in range(ROUNDS):
            with self.new_gallery(f"enrolment{number}") as gallery:
                taken = in_turns(1, lambda: self.bare_copy(given), lambda: gallery.enroll(given))
            bare += taken[0]
            enrolled += taken[1]
        return {
            "bare_copy_s": Rounds(bare),
            "enroll_s": Rounds(enrolled),
            "over_bare_copy": ratios(enrolled, bare),
            "images_per_second": Rounds([self.rows / taken for taken in enrolled]),
        }

    def bare_copy(self, given: EmbeddingSet) -> None:
        """Write the vectors to one table, durably."""
        with psycopg.connect(self.server.address()) as raw, raw.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS bare")
            cursor.execute(
                "CREATE TABLE bare (image bigint PRIMARY KEY, person text,"
                " vector bytea STORAGE EXTERNAL) WITH (toast_tuple_target = 8160)"
            )
            with cursor.copy("COPY bare FROM STDIN (FORMAT binary)") as sink:
                sink.set_types(["int8", "text", "bytea"])
                pairs = zip(given.identities, given.vectors, strict=True)
                for row, (person, vector) in enumerate(pairs):
                    sink.write_row((row, person, vector.tobytes()))

    def bench_start(self) -> dict[str, float]:
        self.filled("start")[0].close()
        read, started = [], []
        for _ in range(ROUNDS):
            read += in_turns(1, lambda: self.read_vectors("start"))[0]
            begin = time.perf_counter()
            gallery = Gallery.open(self.address("start"))
            gallery._index.refresh()  # what the first question waits for
            started.append(time.perf_counter() - begin)
            gallery.close()
        return {
            "reading_vectors_s": Rounds(read),
            "start_s": Rounds(started),
            "over_reading_vectors": ratios(started, read),
        }

    def read_vectors(self, name: str) -> None:
        with psycopg.connect(self.server.address()) as raw:
            found = raw.execute(
                f"SELECT image, person, vector FROM facever_{name}.images ORDER BY image".encode(),
                binary=True,
            ).fetchall()
            vectors = np.frombuffer(b"".join([row[2] for row in found]), np.float32)
            assert vectors.size == self.rows * WIDTH

    def bench_search(self) -> dict[str, float]:
        gallery, given = self.filled("search")
        path, found = self.folder / "embedded", {}
        with gallery, Gallery.create(path, dimension=WIDTH, **SAME) as embedded:
            embedded.enroll(given)
            for one in (gallery, embedded):
                one.rebuild()
            probes = faces(64, seed=1)[0]
            answers = [one.search(probes, K, **SAME) for one in (gallery, embedded)]
            for a, b in zip(*answers, strict=True):
                assert a.candidates == b.candidates
            for batch, times in ((1, 64), (64, 1)):
                some = [probes[row : row + batch] for row in range(0, times * batch, batch)]
                taken = in_turns(
                    5,
                    *(
                        lambda one=one, some=some: [one.search(q, K, **SAME) for q in some]
                        for one in (gallery, embedded)
                    ),
                )
                for name, each in zip(("postgres", "embedded"), taken, strict=True):
                    found[f"{name}_{batch}_ms"] = Rounds([1000 * one / times for one in each])
                found[f"{batch}_over_embedded"] = ratios(*taken)
            asked = in_turns(5, lambda: [gallery.change for _ in range(200)])[0]
            found["newest_change_ms"] = Rounds([1000 * one / 200 for one in asked])
        return found

    def bench_removal(self) -> dict[str, float]:
        gallery, given = self.filled("removal")
        people = list(dict.fromkeys(given.identities.tolist()))[:REMOVALS]
        first = {person: row for row, person in reversed(list(enumerate(given.identities)))}
        wrong, asked = 0, []
        with gallery, Gallery.open(self.address("removal")) as other:
            for person in people:
                probe = given.vectors[first[person]][None]
                before = other.search(probe, K, **SAME)[0]
                assert before.candidates[0].person == person
                gallery.remove(person)
                begin = time.perf_counter()
                after = other.search(probe, K, **SAME)[0]
                asked.append(time.perf_counter() - begin)
                wrong += person in [candidate.person for candidate in after.candidates]
        return {
            "removals": len(people),
            "answers_with_removed": wrong,
            "first_question_after_ms": float(np.median(asked)) * 1000,
        }

    def bench_writers(self) -> dict[str, float]:
        self.new_gallery("writers").close()
        taken: dict[int, list[float]] = {1: [], WRITERS: []}
        errors = 0
        for number in range(ROUNDS):
            for writers, times in taken.items():
                spent, failed = self.written(writers, first=number)
                times.append(spent)
                errors += failed
        ((gaps, made),) = self.server.execute(
            "SELECT max(change) - count(*), count(*) FROM facever_writers.changes"
        )
        enrolled = 2 * ROUNDS * (self.changes // WRITERS * WRITERS)
        return {
            "one_writer_changes_per_second": Rounds([self.changes / one for one in taken[1]]),
            "8_writers_changes_per_second": Rounds([self.changes / one for one in taken[WRITERS]]),
            "8_writers_over_one": ratios(taken[1], taken[WRITERS]),
            "errors": errors + abs(enrolled - (made - 1)),  # change 1 made the gallery
            "gaps": gaps,
        }

    def written(self, writers: int, first: int) -> tuple[float, int]:
        """Make the changes by some processes; return the seconds and the number of errors."""
        context = multiprocessing.get_context("spawn")
        gate, errors = context.Barrier(writers + 1), context.Value("i", 0)
        each = self.changes // WRITERS * WRITERS // writers
        processes = [
            context.Process(
                target=write,
                args=(self.address("writers"), f"{first} {writers} {at}", each, gate, errors),
            )
            for at in range(writers)
        ]
        for process in processes:
            process.start()
        gate.wait()
        begin = time.perf_counter()
        gate.wait()
        spent = time.perf_counter() - begin
        for process in processes:
            process.join()
        return spent, errors.value


def write(address: str, name: str, count: int, gate: Barrier, errors: object) -> None:
    """Enrol images one by one: what each process of `bench_writers` does."""
    vectors = faces(count, seed=len(name))[0]
    with closing(Gallery.open(address, wait=60)) as gallery:
        gate.wait()
        for row in range(count):
            try:
                gallery.enroll(vectors[row : row + 1], f"{name} {row}", duplicates="keep", **SAME)
            except FaceverError as error:
                print(error)
                with errors.get_lock():
                    errors.value += 1
        gate.wait()


def main() -> None:
    names = ("enrolment", "start", "search", "removal", "writers")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--changes", type=int, default=400)
    parser.add_argument("--only", choices=names, nargs="+", default=names)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = {}
    for name in options.only:
        place = Path(tempfile.mkdtemp(prefix="facever-bench-"))
        with Server.make(place) as server, tempfile.TemporaryDirectory() as folder:
            bench = Bench(server, Path(folder), options.rows, options.changes)
            work: Callable[[], dict[str, float]] = getattr(bench, f"bench_{name}")
            found[name] = work()
    figures = figures_of(found, LIMITS)
    print(as_json(figures) if options.json else as_table(figures))


if __name__ == "__main__":
    main()
