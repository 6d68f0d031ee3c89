import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facever.cli.main import main
from facever.core.seeding import stream
from facever.embeddings.embedding_set import EmbeddingSet

Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run `facever report ...` in a folder of its own and return its exit status."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["facever", "report", *map(str, words)])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    return call


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    people = np.repeat(["Ada", "Ben", "Cleo", "Dan", "Eve", "Fay"], 4)
    vectors = stream(0, "cli").normal(size=(24, 6))
    subset = ["train" if name < "C" else "test" for name in people]
    EmbeddingSet.from_arrays(vectors, people, subset=subset).save(tmp_path / "faces")
    return tmp_path / "faces"


def test_the_page_is_written_and_named(
    run: Run, faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(faces, "--far", "0.1") == 0
    verdict, where = capsys.readouterr().out.splitlines()
    assert verdict.startswith("TAR 0.")
    assert "at FAR 1e-1 on 36 genuine / 240 impostor pairs" in verdict
    assert where == "report: report.html"
    assert verdict.partition(" at FAR")[0] in Path("report.html").read_text(encoding="utf-8")


def test_json(run: Run, faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--far", "0.2", "1e-1", faces, "--out", "deep/page.html", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["report"] == "deep/page.html"
    assert "FAR 2e-1" in said["verdict"]
    points = said["verification"]["operating_points"]
    assert [point["far_target"] for point in points] == [0.2, 0.1]
    assert said["calibration"] is None or said["calibration"]["cllr"] > 0
    assert said["retrieval"] is None
    page = Path("deep/page.html").read_text(encoding="utf-8")
    assert "at FAR 2e-1: TAR 0." in page
    assert "at FAR 1e-1: TAR 0." in page


def test_json_of_several(run: Run, faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(faces, faces, "--far", "0.1", "--json") == 0
    one, two = json.loads(capsys.readouterr().out)["models"]
    assert one["verification"] == two["verification"]
    assert two["against_first"]["operating_points"][0]["resolved"] is False


def test_where(run: Run, faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(faces, "--far", "0.1", "--where", "subset=test") == 0
    assert "24 genuine / 96 impostor" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone"], "error: gone does not exist: give a run folder or a folder of embeddings"),
        (["."], "error: . is neither a run folder"),
        (["faces", "--far", "2"], "error: a FAR of 2.0 is not between 0 and 1"),
        (["faces", "--where", "subset"], "error: 'subset' is not a condition"),
        (["faces", "--out", "."], "error: . is a folder: name the file to write"),
    ],
)
def test_bad_input_gives_one_line_and_status_2(
    run: Run, faces: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert run(*words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message)
    assert not Path("report.html").exists()
