import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facever.embeddings import writer as writers
from facever.embeddings.embedding_set import EmbeddingMeta, EmbeddingSet
from facever.embeddings.writer import EmbeddingWriter
from facever.errors import DataError

N, D, BLOCK = 40, 3, 4
ROWS = pd.DataFrame(
    {"path": [f"{i}.jpg" for i in range(N)], "identity": [str(i % 5) for i in range(N)]}
)
META = EmbeddingMeta("fingerprint", D)
EMBEDDINGS = np.random.default_rng(1).normal(size=(N, D)).astype(np.float32)
ERRORS = [f"bad {i}" if i % 11 == 3 else None for i in range(N)]


def write(writer: EmbeddingWriter, until: int = N) -> None:
    for run in writer.missing(BLOCK):
        for first in range(run.start, min(run.stop, until), BLOCK):
            writer.write(first, EMBEDDINGS[first : first + BLOCK], ERRORS[first : first + BLOCK])


def check(path: Path) -> None:
    faces = EmbeddingSet.load(path)
    good = np.array([error is None for error in ERRORS])
    lengths = np.linalg.norm(EMBEDDINGS.astype(np.float64), axis=1)
    assert np.array_equal(faces.acquired, good)
    assert np.allclose(faces.vectors[good], (EMBEDDINGS / lengths[:, None])[good], atol=1e-6)
    assert not faces.vectors[~good].any()
    assert np.allclose(faces.rows["norm"], lengths * good)
    assert faces.rows["path"].tolist() == ROWS["path"].tolist()
    assert [error if isinstance(error, str) else None for error in faces.rows["error"]] == ERRORS
    assert sorted(file.name for file in path.iterdir()) == [
        "meta.json",
        "rows.parquet",
        "vectors.npy",
    ]


def test_written_at_once(tmp_path: Path) -> None:
    with EmbeddingWriter(tmp_path / "out", ROWS, META) as writer:
        write(writer)
        assert len(writer.finish()) == N
    check(tmp_path / "out")
    assert not (tmp_path / "out.partial").exists()


def test_nothing_unfinished_is_ever_read(tmp_path: Path) -> None:
    with EmbeddingWriter(tmp_path / "out", ROWS, META) as writer:
        write(writer, N - BLOCK)
        with pytest.raises(DataError, match=f"has {N - BLOCK} of {N} rows"):
            writer.finish()
    for path in (tmp_path / "out", tmp_path / "out.partial"):
        with pytest.raises(DataError, match="unfinished"):
            EmbeddingSet.load(path)


def _torn(partial: Path) -> None:
    """A kill between the vectors of a block and its line."""
    with (partial / "set" / "vectors.npy").open("ab") as file:
        file.write(b"\1" * 20)


def _half_line(partial: Path) -> None:
    os.truncate(partial / "unfinished.jsonl", (partial / "unfinished.jsonl").stat().st_size - 7)


def _lost_vectors(partial: Path) -> None:
    """A power cut that kept the journal but not the last vectors."""
    vectors = partial / "set" / "vectors.npy"
    with vectors.open("r+b") as file:
        file.seek(vectors.stat().st_size - 8)
        file.write(bytes(8))


def _another_process(partial: Path) -> None:
    """Lines in the journal of a process other than the first count as well."""
    journal = partial / "unfinished.jsonl"
    key, *lines = journal.read_bytes().splitlines(True)
    (partial / "unfinished-1.jsonl").write_bytes(b"".join(lines[2:]))
    journal.write_bytes(b"".join([key, *lines[:2]]))


def _damaged_line(partial: Path) -> None:
    journal = partial / "unfinished.jsonl"
    lines = journal.read_bytes().splitlines(True)
    journal.write_bytes(b"".join([*lines[:-1], b'{"first": 4}\n']))


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        (lambda partial: None, 20),
        (_torn, 20),
        (_half_line, 16),
        (_lost_vectors, 16),
        (_another_process, 20),
        (_damaged_line, 16),
        (lambda partial: os.truncate(partial / "set" / "vectors.npy", 0), 0),
        (lambda partial: (partial / "set" / "vectors.npy").unlink(), 0),
        (lambda partial: (partial / "unfinished.jsonl").unlink(), 0),
        (lambda partial: (partial / "unfinished.jsonl").write_bytes(b"\0\0\n"), 0),
    ],
)
def test_an_interrupted_extraction_goes_on(tmp_path: Path, damage: object, kept: int) -> None:
    with EmbeddingWriter(tmp_path / "out", ROWS, META) as writer:
        write(writer, 20)
    damage(tmp_path / "out.partial")  # type: ignore[operator]
    with EmbeddingWriter(tmp_path / "out", ROWS, META) as writer:
        assert writer.done == kept
        write(writer)
        writer.finish()
    check(tmp_path / "out")


@pytest.mark.parametrize(
    ("rows", "meta"),
    [
        (ROWS, EmbeddingMeta("another", D)),
        (ROWS, EmbeddingMeta("fingerprint", D, options={"flip": True})),
        (ROWS, EmbeddingMeta("fingerprint", D, versions={"torch": "0"})),
        (ROWS.assign(identity="x"), META),
        (ROWS.iloc[::-1], META),
    ],
)
def test_leftovers_of_something_else_are_dropped_and_said(
    tmp_path: Path, rows: pd.DataFrame, meta: EmbeddingMeta, capsys: pytest.CaptureFixture[str]
) -> None:
    with EmbeddingWriter(tmp_path / "out", ROWS, META) as writer:
        write(writer, 20)
    with EmbeddingWriter(tmp_path / "out", rows, meta) as writer:
        assert writer.done == 0
    assert "starting from the beginning" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("block", "errors", "message"),
    [
        (np.ones((2, D + 1)), None, "of dimension 3"),
        (np.ones((2, D)), [None], "with 1 errors"),
        (np.ones((N + 1, D)), None, f"more than the {N} rows"),
        ([[1, 0, 0], [0, 0, 0]], None, r"row 1 \(1.jpg\) is zero or not finite"),
        ([[1, np.inf, 0]], None, r"row 0 \(0.jpg\) is zero or not finite"),
    ],
)
def test_a_wrong_block_is_refused_and_leaves_no_trace(
    tmp_path: Path, block: object, errors: list[str | None] | None, message: str
) -> None:
    with EmbeddingWriter(tmp_path / "out", ROWS, META) as writer:
        with pytest.raises(DataError, match=message):
            writer.write(0, np.asarray(block), errors)
        write(writer)
        writer.finish()
    check(tmp_path / "out")


def test_what_stands_in_the_row_of_a_failed_image_is_ignored(tmp_path: Path) -> None:
    with EmbeddingWriter(tmp_path / "out", ROWS.iloc[:2], META) as writer:
        writer.write(0, np.array([[np.nan, 1, 1], [1, 0, 0]]), ["broken", None])
        assert writer.finish().vectors.tolist() == [[0, 0, 0], [1, 0, 0]]


def test_only_an_embedding_set_is_replaced(tmp_path: Path) -> None:
    for _ in range(2):
        with EmbeddingWriter(tmp_path / "out", ROWS, META) as writer:
            write(writer)
            writer.finish()
    check(tmp_path / "out")
    with pytest.raises(DataError, match=r"out already contains an embedding set: choose another"):
        EmbeddingWriter(tmp_path / "out", ROWS, META, overwrite=False)
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="not an embedding set"):
        EmbeddingWriter(tmp_path / "file", ROWS, META)


def test_killed_again_and_again(tmp_path: Path) -> None:
    """Each process writes until it is killed; the folder appears whole, once, at the end."""
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[2]); import test_writer as t\n"
        "with t.EmbeddingWriter(sys.argv[1], t.ROWS, t.META) as w:\n"
        "    print(w.done, flush=True)\n"
        "    for until in range(w.done, t.N, t.BLOCK):\n"
        "        t.write(w, until + t.BLOCK); time.sleep(0.01)\n"
        "    w.finish()\n"
    )
    random, starts = np.random.default_rng(3), []
    for _ in range(8):
        worker = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "out"), str(Path(__file__).parent)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert worker.stdout is not None
        starts.append(int(worker.stdout.readline()))
        if len(starts) < 3:
            time.sleep(random.uniform(0.02, 0.06))
            worker.send_signal(signal.SIGKILL)
        if worker.wait() == 0:
            break
    assert starts == sorted(starts)
    assert starts[-1] > 0
    check(tmp_path / "out")
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


OTHER = EmbeddingMeta("another", D)


@pytest.mark.parametrize("meta", [META, OTHER])
def test_one_extraction_at_a_time(tmp_path: Path, meta: EmbeddingMeta) -> None:
    with EmbeddingWriter(tmp_path / "out", ROWS, META) as writer:
        write(writer, 20)
        with pytest.raises(DataError) as refusal:
            EmbeddingWriter(tmp_path / "out", ROWS, meta)
        assert str(refusal.value) == (
            f"{tmp_path}/out: another extraction is writing to it; wait until it has finished, "
            "or choose "
            "another path"
        )
        with EmbeddingWriter(tmp_path / "elsewhere", ROWS, meta):
            write(writer)
        writer.finish()
        shutil.rmtree(tmp_path / "elsewhere.partial")
        assert list(tmp_path.iterdir()) == [tmp_path / "out"]
    check(tmp_path / "out")


def test_nobody_begins_while_one_finishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, refused = writers.put_into_place, []

    def refuse() -> None:
        with pytest.raises(DataError, match="another extraction is writing to it"):
            EmbeddingWriter(tmp_path / "out", ROWS, OTHER)
        refused.append(True)

    def meanwhile(*given: Path) -> None:
        refuse()
        real(*given)
        refuse()

    monkeypatch.setattr(writers, "put_into_place", meanwhile)
    with EmbeddingWriter(tmp_path / "out", ROWS, META) as writer:
        write(writer)
        writer.finish()
    assert refused == [True, True]
    check(tmp_path / "out")


def test_who_cannot_begin_keeps_nobody_out(tmp_path: Path) -> None:
    (tmp_path / "out.partial").write_text("a file")
    with pytest.raises(NotADirectoryError):
        EmbeddingWriter(tmp_path / "out", ROWS, META)
    (tmp_path / "out.partial").unlink()
    assert not list(tmp_path.iterdir())
    EmbeddingWriter(tmp_path / "out", ROWS, META).close()


class Killed(BaseException):
    pass


def finish_until(step: int, writer: EmbeddingWriter) -> None:
    """Finish, but die before a step: from then on nothing changes the disk."""
    steps = itertools.count()
    killed = pytest.MonkeyPatch()

    def mortal(real):  # type: ignore[no-untyped-def]
        def call(*words, **options):  # type: ignore[no-untyped-def]
            if next(steps) >= step:
                raise Killed
            return real(*words, **options)

        return call

    for name in ("fsync", "mkdir", "remove", "rename", "replace", "rmdir", "unlink"):
        killed.setattr(os, name, mortal(getattr(os, name)))
    try:
        writer.finish()
    finally:
        killed.undo()


def old_set(path: Path) -> dict[str, bytes]:
    with EmbeddingWriter(path, ROWS.iloc[:2], OTHER) as writer:
        writer.write(0, EMBEDDINGS[:2])
        writer.finish()
    return content(path)


def content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.mark.parametrize("overwritten", [False, True])
@pytest.mark.parametrize("then", ["the same", "not overwriting", "another model"])
def test_a_kill_inside_finish_loses_nothing(tmp_path: Path, then: str, overwritten: bool) -> None:
    with EmbeddingWriter(tmp_path / "whole", ROWS, META) as writer:
        write(writer)
        writer.finish()
    new, outcomes = content(tmp_path / "whole"), set()
    for step in itertools.count():
        out = tmp_path / str(step) / "out"
        old = old_set(out) if overwritten else None
        with EmbeddingWriter(out, ROWS, META) as writer:
            write(writer)
            try:
                finish_until(step, writer)
            except Killed:
                pass
            else:
                break
        if not out.exists():
            with pytest.raises(DataError, match="is unfinished: run the same command again"):
                EmbeddingSet.load(out)
        if then == "another model":
            with EmbeddingWriter(out, ROWS, EmbeddingMeta("third", D)) as writer:
                assert writer.done == 0
                found = content(out) if out.exists() else None
                assert found in (old, new)  # neither is gone before another one is whole
                outcomes.add(found == new)
            continue
        if then == "not overwriting" and (out.exists() or overwritten):
            with pytest.raises(DataError, match="already contains an embedding set"):
                EmbeddingWriter(out, ROWS, META, overwrite=False)
            assert content(out) in (old, new)
            if content(out) == new:
                assert list(out.parent.iterdir()) == [out]
        with EmbeddingWriter(out, ROWS, META) as writer:
            in_place = out.exists() and content(out) == new
            assert writer.done == (0 if in_place else N)  # nothing is embedded again
            outcomes.add(in_place)
            write(writer)
            writer.finish()
        assert content(out) == new
        assert list(out.parent.iterdir()) == [out]
    assert outcomes == {False, True}


def test_a_journal_of_an_older_version_is_embedded_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with EmbeddingWriter(tmp_path / "out", ROWS, META) as writer:
        write(writer, 20)  # as it was written before files were looked at
    with EmbeddingWriter(tmp_path / "out", ROWS, META, file_of=lambda _: __file__) as writer:
        assert writer.done == 0
        write(writer, 20)
    assert "20 rows in" in (told := capsys.readouterr().err)
    assert "embedded again" in told
    with EmbeddingWriter(tmp_path / "out", ROWS, META, file_of=lambda _: __file__) as writer:
        assert writer.done == 20
        write(writer)
        writer.finish()
    check(tmp_path / "out")


def test_a_file_that_is_gone_or_came_back_has_changed(tmp_path: Path) -> None:
    image = tmp_path / "image"
    for there_before, there_now, kept in (
        (True, True, 20),
        (False, False, 20),
        (True, False, 0),
        (False, True, 0),
    ):
        image.write_bytes(b"x")
        os.utime(image, ns=(1, 1))
        if not there_before:
            image.unlink()
        out = tmp_path / f"{there_before}{there_now}"
        with EmbeddingWriter(out, ROWS, META, file_of=lambda _: str(image)) as writer:
            write(writer, 20)
        image.unlink(missing_ok=True)
        if there_now:
            image.write_bytes(b"x")
            os.utime(image, ns=(1, 1))
        with EmbeddingWriter(out, ROWS, META, file_of=lambda _: str(image)) as writer:
            assert writer.done == kept
