"""Runs of former code open, go on to the same weights, and losses are the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from facever import EmbeddingSet
from tests.former import runs as former
from tests.former.replay import ask, differences, one_thread, records, same_machine

RECORDS = records("runs.tar.xz")
EXACT = same_machine("runs.tar.xz")
"""Whether this is the processor and the torch of former code: then training is the same bit for
bit, and elsewhere nearly."""
RELATIVE = 1e-6 if EXACT else 1e-3


def assert_same_end(run: Path, name: str, runs: Path) -> None:
    """Compare a run with what former code trained without an interruption."""
    assert list(differences(RECORDS["figures"][name], former.figures(run), relative=RELATIVE)) == []
    if EXACT:
        assert former.fingerprint(run) == RECORDS["fingerprints"][name]
    now, before = (load_file(at / "model.safetensors") for at in (run, runs / "runs" / name))
    assert list(now) == list(before)
    for key, value in before.items():
        np.testing.assert_allclose(now[key], value, rtol=0, atol=1e-3, err_msg=key)


@pytest.mark.parametrize("name", [name for name, n in former.PROCESSES.items() if n == 1])
def test_an_interrupted_run_goes_on_to_the_same_weights(name: str, runs: Path) -> None:
    run = f"runs/{name}-interrupted"
    with one_thread():
        assert ask(["train", "--resume", run, "--json"], runs)["status"] == 0
    assert_same_end(runs / run, name, runs)


def test_a_run_of_two_processes_goes_on_in_two(runs: Path) -> None:
    run = "runs/two-processes-interrupted"
    said = former.launched(2, ["facever", "train", "--resume", run], runs)
    assert (runs / run / "model.safetensors").is_file(), said
    assert_same_end(runs / run, "two-processes", runs)


@pytest.mark.parametrize("name", former.RUNS)
def test_a_finished_run_is_that_of_its_configuration(name: str, runs: Path) -> None:
    """Its configuration is read, and means what it meant: a resume has nothing left to do."""
    (runs / f"{name}.yaml").write_text(json.dumps(former.RUNS[name]))
    with one_thread():
        words = ["train", f"{name}.yaml", "--resume", f"runs/{name}", "--json"]
        said = ask(words, runs)
    assert said["status"] == 0
    assert former.fingerprint(runs / "runs" / name) == RECORDS["fingerprints"][name]


@pytest.mark.parametrize("name", RECORDS["answers"])
def test_the_answer_is_the_former_one(name: str, runs: Path) -> None:
    record = RECORDS["answers"][name]
    with one_thread():
        now = ask(record["words"], runs)
    assert list(differences(record, now, relative=RELATIVE)) == []


@pytest.mark.parametrize(("run", "out"), [("plain", "embeddings"), ("htg", "embeddings-htg")])
def test_an_extraction_is_the_former_one(run: str, out: str, runs: Path) -> None:
    words = f"embed runs/{run} faces/attributes.csv --out new-{out} --workers 0 --device cpu"
    with one_thread():
        assert ask([*words.split(), "--batch-size", "8"], runs)["status"] == 0
    now, before = (EmbeddingSet.load(runs / name) for name in (f"new-{out}", out))
    np.testing.assert_allclose(now.vectors, before.vectors, rtol=0, atol=1e-6)
    if EXACT:
        assert np.array_equal(now.vectors, before.vectors)
    assert now.rows.drop(columns="norm").equals(before.rows.drop(columns="norm"))
    np.testing.assert_allclose(now.rows["norm"], before.rows["norm"], rtol=1e-5)
    assert (now.meta.fingerprint, now.meta.options) == (
        before.meta.fingerprint,
        before.meta.options,
    )


@pytest.mark.parametrize("name", former.HEADS)
def test_losses_of_a_short_training(name: str, runs: Path) -> None:
    now = former.losses(name, runs)
    assert list(differences(RECORDS["losses"][name], now, relative=RELATIVE)) == []


def test_every_head_has_its_losses() -> None:
    heads: list[dict[str, Any]] = ask(["heads", "--json"], Path.cwd())["said"]
    assert {head["name"] for head in heads} <= set(former.HEADS)
