import importlib.util
import json
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def soak():
    path = Path(__file__).parents[3] / "tools" / "soak" / "coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_soak", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_intervals_hold_the_truth_where_independent_ones_do_not(soak):
    truth = soak.find_truth(1e-2, seed=0, people=1000, worlds=12)
    found = soak.coverage(truth, people=40, populations=200, far=1e-2, seed=0)
    independent = found.pop("FMR, i.i.d.")
    assert independent < 0.9
    assert {"FMR", "FNMR", "AUC", "EER", "TAR@FAR", "AUC, sampled", "EER, sampled"} < set(found)
    assert {"FMR in a group", "FMR across groups", "FNMR in a group"} < set(found)
    for name, share in found.items():
        assert 0.88 <= share <= 0.995, name


def test_a_stopped_run_goes_on_and_gives_the_same_table(soak, tmp_path, monkeypatch, capsys):
    truth = soak.Truth(0.77, 0.01, 0.53, 0.95, 0.12)
    monkeypatch.setattr(soak, "find_truth", lambda *settings: truth)

    def run(name, populations, *more):
        words = ["--out", str(tmp_path / name), "--populations", populations, "--people", "8", "9"]
        monkeypatch.setattr(sys, "argv", ["coverage.py", *words, *more])
        soak.main()
        return capsys.readouterr().out

    whole = run("whole.jsonl", "4")
    assert whole.count("people") == 2
    run("part.jsonl", "2")
    path = tmp_path / "part.jsonl"
    path.write_text(path.read_text() + '{"people": 9, "popul')  # cut off while writing
    drawn = []
    judge = soak.judge
    monkeypatch.setattr(soak, "judge", lambda *given: drawn.append(given[1:3]) or judge(*given))
    assert run("part.jsonl", "4") == whole
    assert drawn == [(8, 2), (8, 3), (9, 2), (9, 3)]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 1 + 8
    with pytest.raises(SystemExit, match="was made with other settings"):
        run("part.jsonl", "4", "--seed", "1")
