"""Extraction by several processes: the bytes of one, whoever was killed."""

import json
import os
import shutil
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from facever.core.processes import rank
from facever.data.manifest import Manifest
from facever.embeddings.embedding_set import EmbeddingMeta, EmbeddingSet
from facever.embeddings.writer import EmbeddingWriter
from facever.errors import DataError
from facever.models.loading import load_model
from facever.models.onnx.adding import add_model
from tests import forked
from tests.onnx_files import write_network
from tests.processes import ROOT, Answers, in_processes, process_environment

BATCH = 2
Outcome = dict[str, object]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


def case_extract(run: Path, root: Path, out: Path, rows: tuple[int, ...] = ()) -> Outcome:
    """Embed, and tell which rows this process embedded and what it was told."""
    written: list[int] = []
    write = EmbeddingWriter.write

    def noting(writer: EmbeddingWriter, first: int, *block: object) -> None:
        written.append(first)
        write(writer, first, *block)  # type: ignore[arg-type]

    manifest = Manifest.from_folder(root)
    if rows:
        manifest = manifest.select(np.array(rows))
    EmbeddingWriter.write = noting  # type: ignore[method-assign]
    try:
        made = load_model(run, batch_size=BATCH).extract(manifest, out, workers=0)
    except DataError as error:
        return {"written": written, "error": str(error)}
    finally:
        EmbeddingWriter.write = write  # type: ignore[method-assign]
    return {"written": written, "vectors": np.array(made.vectors), "error": None}


def case_torn(run: Path, root: Path, out: Path) -> Outcome:
    """Embed, where both processes end after their first batch; then embed the rest."""
    write = EmbeddingWriter.write

    def once(writer: EmbeddingWriter, first: int, *block: object) -> None:
        write(writer, first, *block)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    EmbeddingWriter.write = once  # type: ignore[method-assign]
    try:
        load_model(run, batch_size=BATCH).extract(Manifest.from_folder(root), out, workers=0)
    except KeyboardInterrupt:
        pass
    finally:
        EmbeddingWriter.write = write  # type: ignore[method-assign]
    return case_extract(run, root, out)


@pytest.fixture(scope="module")
def onnx(folder: Path) -> Path:
    weights = np.random.default_rng(3).normal(size=(3, 5)).astype(np.float32)
    source = write_network(folder / "source.onnx", weights)
    return add_model(source, folder / "small.onnx", mean=120, std=50).path


@pytest.fixture(scope="module")
def two(folder: Path, run: Path, onnx: Path, faces: Manifest) -> Answers:
    root = Path(str(faces.root))
    cases = {
        "whole": partial(case_extract, run, root, folder / "whole"),
        "torn": partial(case_torn, run, root, folder / "torn"),
        "one": partial(case_extract, run, root, folder / "one", (0,)),
        "unreadable": partial(case_extract, run, root, folder / "unreadable", (3, 9)),
        "onnx": partial(case_extract, onnx, root, folder / "onnx"),
        "other": partial(_case_other_rows, run, root, folder / "other"),
    }
    return in_processes(2, cases)


def _case_other_rows(run: Path, root: Path, out: Path) -> Outcome:
    return case_extract(run, root, out, (0, 1 + rank()))


@pytest.fixture(scope="module")
def single(folder: Path, run: Path, faces: Manifest) -> Path:
    """The same in one process, of one thread as each of the others."""
    code = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from pathlib import Path\n"
        "from tests.models.test_extraction_by_processes import case_extract\n"
        "case_extract(*map(Path, sys.argv[1:]))"
    )
    out = folder / "single"
    done = forked.run(["-c", code, run, faces.root, out], cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("name", ["whole", "torn"])
def test_two_processes_write_the_bytes_of_one(
    name: str, two: Answers, folder: Path, single: Path
) -> None:
    made = two(name)
    files = sorted(path.name for path in single.iterdir())
    assert sorted(path.name for path in (folder / name).iterdir()) == files
    for file in files:
        assert (folder / name / file).read_bytes() == (single / file).read_bytes(), file
    assert np.array_equal(made[0]["vectors"], made[1]["vectors"])
    assert not (folder / f"{name}.partial").exists()


def test_an_onnx_model_by_two_processes(
    two: Answers, folder: Path, onnx: Path, faces: Manifest
) -> None:
    made = two("onnx")
    single = load_model(onnx).embed_images(faces)
    assert [one["written"] for one in made] == [[0, 2, 4], [6, 8]]
    np.testing.assert_array_equal(EmbeddingSet.load(folder / "onnx").vectors, single.vectors)


def test_the_processes_share_the_batches(two: Answers) -> None:
    assert [made["written"] for made in two("whole")] == [[0, 2, 4], [6, 8]]


def test_what_was_written_is_not_embedded_again(two: Answers) -> None:
    # The first batches of both, rows 0 and 6, were there; what is left is shared out anew.
    assert [made["written"] for made in two("torn")] == [[2, 4], [8]]


def test_fewer_batches_than_processes(two: Answers, folder: Path) -> None:
    assert [made["written"] for made in two("one")] == [[0], []]
    assert len(EmbeddingSet.load(folder / "one")) == 1


def test_nothing_readable_and_other_rows_end_all_processes(two: Answers, folder: Path) -> None:
    for made in two("unreadable"):
        assert str(made["error"]).startswith("not one of 2 images could be read, first: ")
    for made in two("other"):
        assert made["error"] == (
            "the processes have different images or models: give all processes the same data"
        )
    assert not list(folder.glob("unreadable*"))
    assert not list(folder.glob("other*"))


def embed(run: Path, faces: Manifest, out: Path) -> list[str]:
    verb = ["embed", str(run), str(faces.root), "--out", str(out), "--batch-size", str(BATCH)]
    return [*verb, "--workers", "0", "--device", "cpu"]


def by_two_processes(words: list[str]) -> list[tuple[int, str, str]]:
    """Run Python on both; return the status, stdout and stderr of each."""
    environment = process_environment(2)
    both = [
        forked.Python(words, env={**environment, "RANK": str(number), "LOCAL_RANK": str(number)})
        for number in range(2)
    ]
    told = [process.communicate(timeout=120) for process in both]
    ended = [process.returncode for process in both]
    assert None not in ended
    return [(status, *said) for status, said in zip(ended, told, strict=True)]


def test_the_result_is_told_once(run: Path, faces: Manifest, folder: Path) -> None:
    out = folder / "told"
    first, second = by_two_processes(["-m", "facever", *embed(run, faces, out), "--json"])
    assert json.loads(first[1])["embeddings"] == str(out)
    assert "warning: 2 of 10 (FTA 0.2" in first[2]
    assert second[:2] == (0, "")


def test_all_processes_end_where_another_extraction_is_writing(
    run: Path, faces: Manifest, folder: Path
) -> None:
    out = folder / "taken"
    with EmbeddingWriter(out, faces.frame, EmbeddingMeta("of another model", 8)):
        first, second = by_two_processes(["-m", "facever", *embed(run, faces, out)])
        assert first == (
            2,
            "",
            f"error: {out}: another extraction is writing to it; wait until it has finished, or "
            "choose "
            "another path\n",
        )
        assert second[:2] == (2, "")
        assert "error" not in second[2]


def test_a_killed_rank_is_redone_alone_by_any_number_of_processes(
    run: Path, faces: Manifest, folder: Path, single: Path
) -> None:
    """`facever embed` on two processes, one killed after its first batch; then on one."""
    out = folder / "killed"
    code = (
        "import os, signal\n"
        "from facever.embeddings.writer import EmbeddingWriter\n"
        "from facever.core.processes import rank\n"
        "write = EmbeddingWriter.write\n"
        "def killed(*block):\n"
        "    write(*block)\n"
        "    if rank() == 1: os.kill(os.getpid(), signal.SIGKILL)\n"
        "EmbeddingWriter.write = killed\n"
        "from facever.cli.main import main\n"
        "main()"
    )
    verb = embed(run, faces, out)
    first, second = by_two_processes(["-c", code, *verb])
    assert second[0] == -signal.SIGKILL
    assert first[:2] == (2, "")
    assert "another process of this run has ended" in first[2]
    assert not out.exists()
    again = forked.run(["-m", "facever", *verb], env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert again.returncode == 0, again.stderr
    assert "resuming with 8 of 10 rows" in again.stderr
    for file in single.iterdir():
        assert (out / file.name).read_bytes() == file.read_bytes(), file
    shutil.rmtree(out)
