"""Broken and hostile imports: does a gallery take each whole, or refuse it and stay as it was?

    python tools/soak/gallery_fuzz.py [--cases 2000] [--seed 0]

The folder of an embedding set or of an export is damaged in ways that hypothesis draws: bytes
flipped and cut off, other types, shapes, columns and lengths, NaN, strange ids, other models,
pickled objects, files that are folders; an export may be sealed again. Then it is taken
in. What comes of it is an import of every row, or one line that says why not and a gallery whose
tables are what they were. Nothing is ever unpickled.
"""

import argparse
import io
import json
import os
import pickle
import shutil
import sqlite3
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from facever.core.seeding import stream
from facever.core.text import canonical
from facever.embeddings.embedding_set import META, ROWS, VECTORS, EmbeddingSet
from facever.embeddings.unit import ROUNDING, unit_rows
from facever.errors import FaceverError
from facever.gallery.export import SEAL
from facever.gallery.gallery import Gallery

DIMENSION, ROWS_IN_A_SET, MODEL = 8, 5, "model-1"
FULL = 400  # images: then a new gallery

STRANGE_IDS = (
    *("", " ", "..", "../../x", "/etc/passwd", "C:\\x", "a/b", ".", "~", "-rf", "--help"),
    *("'; DROP TABLE people; --", '" OR 1=1', "%s", "{0}", "$(id)", "`id`", "NULL", "nan", "None"),
    *("<script>alert(1)</script>", "&amp;", "\x1b[31mred", "a\nb", "a\r", "\t", "a\0b", "\ufeff"),
    *(
        "\u202egnp.exe",
        "\u0627\u0644\u0639",
        "\U0001f600",
        "e\u0301",
        "\xe9",
        "\ud800",
        "x" * 10_000,
    ),
)
ids = st.sampled_from(STRANGE_IDS) | st.text(max_size=20)
numbers = st.sampled_from([0, -1, 1, 7, 2**31, 2**63, 2**64, 1e308, float("nan"), float("inf")])
values = (
    st.none() | st.booleans() | numbers | ids | st.binary(max_size=8) | st.lists(ids, max_size=2)
)

Files = dict[str, bytes | None]  # None: a folder of that name


class Trap:
    """What makes a folder when anyone unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def _units(count: int, random: np.random.Generator, dimension: int = DIMENSION) -> np.ndarray:
    rows = random.standard_normal((count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _npy(array: np.ndarray, pickled: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=pickled)
    return file.getvalue()


def _parquet(rows: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    rows.to_parquet(file)
    return file.getvalue()


# -- ways to damage it; each takes what hypothesis draws, the files, a random stream, a trap -----


def flip(draw: Any, files: Files, random: np.random.Generator, trap: Path) -> None:
    name = draw(st.sampled_from(sorted(files)))
    content = bytearray(files[name] or b"")
    for _ in range(draw(st.integers(1, 4))):
        if content:
            content[draw(st.integers(0, len(content) - 1))] ^= draw(st.integers(1, 255))
    files[name] = bytes(content)


def cut(draw: Any, files: Files, random: np.random.Generator, trap: Path) -> None:
    name = draw(st.sampled_from(sorted(files)))
    content = files[name] or b""
    files[name] = content[: draw(st.integers(0, len(content)))]


def replace(draw: Any, files: Files, random: np.random.Generator, trap: Path) -> None:
    name = draw(st.sampled_from(sorted(files)))
    other: dict[str, bytes | None] = {
        "folder": None,
        "pickle": pickle.dumps(Trap(trap)),
        "noise": draw(st.binary(max_size=64)),
        "text": draw(ids).encode("utf-8", "surrogatepass"),
        "another of the files": files[draw(st.sampled_from(sorted(files)))],
    }
    files[name] = other[draw(st.sampled_from(sorted(other)))]


def lose(draw: Any, files: Files, random: np.random.Generator, trap: Path) -> None:
    if files:
        del files[draw(st.sampled_from(sorted(files)))]


def change_meta(draw: Any, files: Files, random: np.random.Generator, trap: Path) -> None:
    meta = json.loads(files[META] or b"{}")
    plain = values.filter(lambda value: not isinstance(value, bytes))
    if not isinstance(meta, dict) or draw(st.integers(0, 9)) == 0:
        meta = draw(plain)
    else:
        key = draw(st.sampled_from([*sorted(meta), "more"]))
        meta[key] = draw(plain | st.dictionaries(st.text(max_size=4), plain, max_size=2))
        if draw(st.integers(0, 3)) == 0:
            meta.pop(draw(st.sampled_from(sorted(meta))))
    files[META] = json.dumps(meta).encode("utf-8", "surrogatepass")


def change_rows(draw: Any, files: Files, random: np.random.Generator, trap: Path) -> None:
    rows = pd.read_parquet(io.BytesIO(files[ROWS] or b""))
    name = draw(st.sampled_from([*rows.columns, "more"]))
    what = draw(st.sampled_from(["value", "ids", "values", "drop", "length", "same", "trap"]))
    drawn = draw(st.lists(values, min_size=len(rows), max_size=len(rows)))
    names = draw(st.lists(ids, min_size=len(rows), max_size=len(rows)))
    times = draw(st.integers(0, 2))
    try:
        if what == "drop" and name in rows:
            rows = rows.drop(columns=[name])
        elif what == "length":
            rows = pd.concat([rows.iloc[:3], *[rows] * times])
        elif what == "same":
            rows[name] = rows[name].iloc[0] if name in rows and len(rows) else 1
        elif what == "ids":
            rows[name] = names
        elif what in ("values", "value"):
            rows[name] = pd.Series(drawn if what == "values" else drawn[:1] * len(rows), dtype="O")
        table = pa.Table.from_pandas(rows)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return  # such rows cannot be in a file
    if what == "trap" and name in rows:  # Arrow's old way to keep a Python type was to pickle it
        keys = {"ARROW:extension:name": "arrow.py_extension_type"}
        keys |= {"ARROW:extension:metadata": pickle.dumps(Trap(trap))}
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at).with_metadata(keys), table.column(at))
    file = io.BytesIO()
    pq.write_table(table, file)
    files[ROWS] = file.getvalue()


def change_ids(draw: Any, files: Files, random: np.random.Generator, trap: Path) -> None:
    rows = pd.read_parquet(io.BytesIO(files[ROWS] or b""))
    sayable = ids.filter(lambda text: "\ud800" not in text)
    names = draw(st.lists(sayable, min_size=len(rows), max_size=len(rows)))
    paths = [f"{draw(sayable)}{random.integers(2**60)}" for _ in names]
    files[ROWS] = _parquet(rows.assign(identity=names, path=paths))


def change_vectors(draw: Any, files: Files, random: np.random.Generator, trap: Path) -> None:
    vectors = _units(ROWS_IN_A_SET, random)
    spoilt = vectors.copy()
    spoilt[draw(st.integers(0, 4)), draw(st.integers(0, DIMENSION - 1))] = draw(
        st.sampled_from([np.nan, np.inf, -np.inf, 1e38, 1e-45, 2.0])
    )
    nothing = vectors.copy()
    nothing[draw(st.integers(0, 4))] = 0
    traps = np.array([[Trap(trap)] * DIMENSION] * ROWS_IN_A_SET, dtype=object)
    count = draw(st.sampled_from(["0", "-1", "4", "6", "10**12", "2**62", "5L", "True", "'5'"]))
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, {DIMENSION}), }}"
    header += " " * (117 - len(header)) + "\n"
    forms: dict[str, bytes] = {
        **{name: _npy(vectors.astype(name)) for name in ("<f8", "<f2", ">f4", "<i4", "<c8", "U4")},
        "pickled": _npy(traps, pickled=True),
        "archive": _archive(traps),
        "spoilt": _npy(spoilt),
        "nothing": _npy(nothing),
        "long": _npy(vectors * 2),
        "flat": _npy(vectors.ravel()),
        "cube": _npy(vectors[None]),
        "wide": _npy(_units(ROWS_IN_A_SET, random, DIMENSION + 1)),
        "few": _npy(vectors[:3]),
        "none": _npy(vectors[:0]),
        "by columns": _npy(np.asfortranarray(vectors)),
        "fields": _npy(np.zeros(ROWS_IN_A_SET, [("a", "<f4", DIMENSION)])),
        "header": b"\x93NUMPY\x01\x00v\x00" + header.encode() + vectors.tobytes(),
        "the same": _npy(np.repeat(vectors[:1], ROWS_IN_A_SET, axis=0)),
    }
    files[VECTORS] = forms[draw(st.sampled_from(sorted(forms)))]


def seal(files: Files) -> None:
    """Say in an export that its files are as they are now."""
    sums = {name: sha256(files[name] or b"").hexdigest() for name in files if name != SEAL}
    files[SEAL] = json.dumps({"format": 1, "sha256": sums}).encode()


def _archive(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, array)
    return file.getvalue()


WAYS = (change_ids, change_meta, change_rows, change_vectors, flip, cut, replace, lose)


# -- one import ---------------------------------------------------------------------------------


class Target:
    """A gallery that is fuzzed, and all that is known to be in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.trap = folder, folder / "unpickled"
        self.made = 0
        self.outcomes: Counter[str] = Counter()
        self.renew()

    def renew(self) -> None:
        if self.made:
            self.gallery.close()
        self.made += 1
        path = self.folder / f"gallery-{self.made}"
        self.gallery = Gallery.create(path, fingerprint=MODEL, dimension=DIMENSION)
        self.gallery.enroll(_units(6, stream(0, "known")), list("aabbcc"), fingerprint=MODEL)

    def content(self) -> list[list[tuple]]:
        """Return all rows of all tables."""
        with closing(sqlite3.connect(self.gallery.path / "gallery.db")) as db:
            names = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            return [sorted(db.execute(f"SELECT * FROM {name}"), key=repr) for (name,) in names]

    def images(self) -> Counter[tuple[str, str | None, bytes]]:
        with closing(sqlite3.connect(self.gallery.path / "gallery.db")) as db:
            sql = "SELECT id, source, vector FROM images JOIN people USING (person)"
            return Counter(db.execute(sql).fetchall())

    def take(self, folder: Path, options: dict[str, Any], export: bool = False) -> None:
        """Enroll or import a folder; raise AssertionError on a fault."""
        before, there = self.content(), self.images()
        try:
            faces = EmbeddingSet.load(folder)
            if export:
                done = self.gallery.import_(folder, duplicates=options["duplicates"])
                faces = faces.select(faces.acquired)
            else:
                done = self.gallery.enroll(faces, **options)
        except FaceverError as error:
            line = str(error)
            assert line, "an error without a word"
            assert "\n" not in line, f"an error of several lines: {line!r}"
            assert line.isprintable(), f"an error that writes to the terminal: {line!r}"
            assert len(line) < 1000, f"an error of {len(line)} letters: {line[:1000]!r}"
            assert self.content() == before, f"refused and yet changed: {line}"
            self.outcomes["refused"] += 1
        else:
            left_out = done.duplicates if options["duplicates"] == "skip" else []
            skipped = {duplicate.index for duplicate in left_out}
            kept = [row for row in np.flatnonzero(faces.acquired) if row not in skipped]
            assert done.images == len(kept), f"{done.images} images of {len(kept)}"
            people = (not export and options.get("people")) or faces.identities.tolist()
            vectors = faces.vectors
            units, lengths = unit_rows(np.where(faces.acquired[:, None], vectors, 0))
            vectors = np.where(np.abs(lengths - 1)[:, None] > ROUNDING, units, vectors)
            new = Counter((canonical(people[row]), vectors[row].tobytes()) for row in kept)
            added = self.images() - there
            assert sum(added.values()) == len(kept), f"{added} for {kept}"
            got = Counter[tuple[str, bytes]]()
            for (person, _, vector), count in added.items():
                got[person, vector] += count
            assert got == new, f"{got} for {new}"
            self.outcomes["imported" if kept else "nothing to import"] += 1
        assert not self.trap.exists(), "something was unpickled"
        self.ask()

    def ask(self) -> None:
        """Check that the gallery is sound and still answers."""
        found = self.gallery.check()
        assert not found, f"not sound: {found}"
        probe = _units(1, stream(0, "known"))
        best = self.gallery.search(probe, 1, fingerprint=MODEL)[0].candidates[0]
        assert best.score > 0.9999
        if self.gallery.info().images > FULL:
            self.renew()


def options_of(draw: Any) -> dict[str, Any]:
    """Draw what else is said at the enrolment; mostly nothing."""
    options: dict[str, Any] = {"duplicates": draw(st.sampled_from(["skip", "keep", "refuse"]))}
    if draw(st.integers(0, 3)) == 0:
        five = st.lists(ids, min_size=ROWS_IN_A_SET, max_size=ROWS_IN_A_SET)
        key = draw(st.sampled_from(["people", "sources", "hashes", "metadata"]))
        tree = values | st.dictionaries(ids | st.integers(), values, max_size=3)
        options[key] = draw({"metadata": st.dictionaries(ids, tree, max_size=2)}.get(key, five))
        if key == "metadata":
            options["people"] = [*options[key], *["z"] * ROWS_IN_A_SET][:ROWS_IN_A_SET]
    return options


def attack(folder: Path, cases: int, number: int = 0) -> Counter[str]:
    """Run so many cases in a folder and count their outcomes; raise on the first fault."""
    target = Target(folder)
    base = EmbeddingSet.from_arrays(
        _units(ROWS_IN_A_SET, stream(number, "base")),
        ["a", "b", "new", "new", "x"],
        fingerprint=MODEL,
        path=[f"{row}.jpg" for row in range(ROWS_IN_A_SET)],
    )
    base.save(folder / "base")
    with Gallery.create(folder / "source", fingerprint=MODEL, dimension=DIMENSION) as gallery:
        gallery.enroll(base, metadata={"a": {"site": "A", "seen": [1, 2.5, None]}})
        gallery.export(folder / "export")
    bases = [
        {path.name: path.read_bytes() for path in (folder / name).iterdir()}
        for name in ("base", "export")
    ]

    @seed(number)
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def case(data: Any) -> None:
        export = data.draw(st.integers(0, 2)) == 0
        files: Files = dict(bases[export])
        random = stream(number, "case", data.draw(st.integers(0, 2**32)))
        ways = data.draw(st.lists(st.sampled_from(WAYS), min_size=1, max_size=2))
        for way in sorted(ways, key=WAYS.index):  # files that are damaged are not read again
            way(data.draw, files, random, target.trap)
        if export and data.draw(st.booleans()):
            seal(files)
        at = folder / "case"
        shutil.rmtree(at, ignore_errors=True)
        at.mkdir()
        for name, content in files.items():
            if content is None:
                (at / name).mkdir()
            else:
                (at / name).write_bytes(content)
        target.take(at, options_of(data.draw), export)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy and pandas on values that are no numbers
        case()
    target.gallery.close()
    return target.outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = attack(Path(folder), options.cases, options.seed)
    print(json.dumps({"cases": sum(outcomes.values()), **dict(sorted(outcomes.items()))}))


if __name__ == "__main__":
    main()
