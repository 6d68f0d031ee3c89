"""`facever data`, run as a person runs it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from facever.cli.data import app
from facever.data.manifest import Manifest
from facever.data.pairs import read_pairs
from facever.errors import ConfigError, DataError

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    def run(*words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    return run


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Ten people with two images each."""
    root = tmp_path / "people"
    for number in range(20):
        folder = root / f"p{number // 2}"
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{number}.png"), np.full((4, 6, 3), number, np.uint8))
    return root


def test_inspect_prints_text_or_json(run: Run, people: Path) -> None:
    (people / "p0" / "broken.jpg").write_text("no image")
    text = run("inspect", people)
    assert text.exit_code == 0
    assert text.stdout.startswith("people: 21 images of 10 identities in ")
    assert "corrupt images: 1\n  p0/broken.jpg: not an image of a known format\n" in text.stdout
    found = json.loads(run("inspect", people, "--json").stdout)
    assert (found["images"], found["identities"]) == (21, 10)
    assert found["corrupt"] == [
        {"path": "p0/broken.jpg", "reason": "not an image of a known format"}
    ]


def test_inspect_finds_names_in_a_data_root(run: Run, people: Path) -> None:
    done = run("inspect", "people", "--data", people.parent, "--layout", "folder")
    assert done.stdout.startswith("people: 20 images of 10 identities in ")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_split_writes_a_table_that_reads(run: Run, people: Path, suffix: str) -> None:
    out = people.parent / f"split.{suffix}"
    done = run(
        "split", people, "--out", out, "--shares", "train=0.6", "dev=0.2", "test=0.2", "--seed", 1
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "train: 6 identities, 12 images",
        "dev: 2 identities, 4 images",
        "test: 2 identities, 4 images",
        f"table: {out}",
    ]
    read = Manifest.from_csv(out) if suffix == "csv" else Manifest.from_parquet(out)
    assert (len(read), read.dataset) == (20, "people")
    assert (read.frame.groupby("identity")["subset"].nunique() == 1).all()
    read.check_files()


def test_split_has_a_default_and_takes_repeated_options(run: Run, people: Path) -> None:
    out = people.parent / "split.csv"
    assert "train: 8 identities" in run("split", people, "--out", out).stdout
    told = json.loads(run("split", people, "--out", out, "--json").stdout)
    assert told == {
        "table": str(out),
        "subsets": {
            "train": {"identities": 8, "images": 16},
            "test": {"identities": 2, "images": 4},
        },
    }
    done = run("split", people, "--shares", "a=0.5", "--shares", "b=0.5", "--out", out)
    assert "a: 5 identities" in done.stdout
    again = run("split", out, "--out", out, "--stratify")  # a table whose subset is replaced
    assert again.exit_code == 0
    assert "the existing subsets of people are replaced" in again.stderr


def test_synthesize_makes_a_data_set(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "made"
    numbers = ["--identities", 3, "--images", 2, "--size", 32, "--seed", 5, "--pairs", 3]
    done = run("synthesize", out, *numbers, "--format", "png")
    assert done.exit_code == 0, done.output
    assert len(read_pairs(out / "pairs.csv")) == 6
    assert f"6 images of 3 identities: {out}" in done.stdout
    again = tmp_path / "again"
    told = json.loads(run("synthesize", again, *numbers, "--json").stdout)
    assert told == {"folder": str(again), "identities": 3, "images": 6, "pairs": 6}
    found = json.loads(run("inspect", out, "--json").stdout)
    assert (found["images"], found["identities"], found["sizes"]) == (6, 3, {"32 x 32": 6})
    assert found["formats"] == {"PNG": 6}


def test_errors_are_user_errors(run: Run, people: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for words, kind in [
        (["inspect", tmp_path / "gone"], DataError),
        (["inspect", tmp_path / "empty"], DataError),
        (["inspect", people, "--layout", "foldr"], DataError),
        (["split", people, "--out", tmp_path / "x.txt"], DataError),
        (["split", people, "--out", tmp_path / "x.csv", "--shares", "a=0.5"], ConfigError),
        (["split", people, "--out", tmp_path / "x.csv", "--shares", "a=b"], ConfigError),
    ]:
        assert isinstance(run(*words).exception, kind)
    assert not (tmp_path / "x.csv").exists()


def test_an_error_is_one_line_and_status_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "facever", "data", "inspect", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: no images in {tmp_path} (looked for .avif .bmp")
    assert done.stderr.count("\n") == 1


def test_shard_copies_a_data_set_that_reads_like_the_folder(run: Run, people: Path) -> None:
    out = people.parent / "shards"
    done = run("shard", people, "--out", out, "--size", 1)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"20 images in 1 shards: {out}\n"
    found = json.loads(run("inspect", out, "--json").stdout)
    assert (found["images"], found["identities"], found["corrupt"]) == (20, 10, [])
    told = json.loads(run("shard", out, "--out", people.parent / "again", "--json").stdout)
    assert told == {"folder": str(people.parent / "again"), "shards": 1, "images": 20}
    refused = run("shard", people, "--out", people.parent / "none", "--size", 0)
    assert isinstance(refused.exception, ConfigError)
