"""A tenth of tools/soak/service.py, and whether its judge sees what is wrong."""

import json
import sys
from math import inf
from types import SimpleNamespace

import numpy as np
import pytest

from tools.soak import service_load as load
from tools.soak.service import main as soak


@pytest.mark.slow
def test_a_service_under_load(tmp_path, monkeypatch, capsys):
    parts = ["answers", "slow clients", "damaged bodies", "memory"]
    options = ["--out", str(tmp_path / "out"), "--share", "0.1", "--only", *parts]
    monkeypatch.setattr(sys, "argv", ["soak", *options])
    soak()
    assert capsys.readouterr().out.count("\n") == len(parts)
    said = json.loads((tmp_path / "out" / "soak.json").read_text())["parts"]
    assert list(said) == parts
    assert all(part["faults"] == [] for part in said.values())
    assert said["answers"]["searches judged"] > 200
    assert said["answers"]["removed"] > 3
    soak()  # they are done, and not begun again
    assert capsys.readouterr().out == ""


def answer(*, among: dict[str, np.ndarray], probe: int) -> list[tuple[str, float]]:
    """The answer of a gallery with those who never change and others, by brute force."""
    people = {f"s-{n}": load.vectors(load.NOBODY, n) for n in range(load.STABLE)} | among
    row = load.probes()[probe].astype(np.float64)
    best = {name: float((rows.astype(np.float64) @ row).max()) for name, rows in people.items()}
    return sorted(best.items(), key=lambda item: -item[1])[: load.NEAREST]


def test_the_judge():
    one = load.Load(SimpleNamespace(port=1, fingerprint="none"), 1, 0)  # of one client
    client, probe = one.clients[0], load.probe_of(0, 0)
    person = {"0-0": load.vectors(0, 0)}  # near the probe: the first of any answer
    without, with_them = (
        answer(among={}, probe=probe),
        answer(among=person, probe=probe),
    )
    assert "0-0" in dict(with_them)
    client.people["0-0"] = load.Times(10, 11, 20, 21)
    right = {
        (1, 2): [without],
        (9, 12): [without, with_them],  # while it is enrolled
        (12, 13): [with_them],
        (19, 20.5): [without, with_them],  # while it is removed
        (22, 23): [without],
    }
    for (sent, answered), answers in right.items():
        for given in (without, with_them):
            client.searches = [load.Search(probe, sent, answered, given)]
            assert bool(one._wrong_answers()) == (given not in answers), (sent, answered)
    lost = without[1:]
    wrong_score = [(name, score + 1e-3) for name, score in without]
    stranger = [("x-1", 0.9), *without[1:]]
    for given in (lost, wrong_score, without[::-1][:4], stranger, []):
        client.searches = [load.Search(probe, 1, 2, given)]
        assert one._wrong_answers(), given
    client.people["0-0"] = load.Times(10, inf)  # the connection was dropped: perhaps enrolled
    for given in (without, with_them):
        client.searches = [load.Search(probe, 12, 13, given)]
        assert one._wrong_answers() == []
