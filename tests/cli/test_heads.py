import json

import pytest

from facever.cli.main import main
from facever.heads import HEADS


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["facever", *words])
    with pytest.raises(SystemExit) as leaving:
        main()
    return int(leaving.value.code or 0)


def test_heads_lists_every_head(monkeypatch, capsys):
    assert call(monkeypatch, "heads") == 0
    said = capsys.readouterr().out
    for name, head in HEADS.items():
        shown = f"{name}:NAME" if name == "pml" else name
        assert f"{shown}: {(head.__doc__ or '').splitlines()[0]}\n    paper: {head.paper}\n" in said
    assert "    margin = 0.35: m, taken off the target cosine (number from 0, below 1)\n" in said
    assert "    compare by: dot; sampling: any batch\n" in said
    assert said.count("weight = 1.0") == 1  # every head's, said once


def test_one_head_in_full(monkeypatch, capsys):
    assert call(monkeypatch, "heads", "cosface") == 0
    said = capsys.readouterr().out
    assert said.startswith("cosface: ")
    assert "    weight = 1.0: " in said
    assert "        end (required): " in said
    assert call(monkeypatch, "heads", "cosface", "--json") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "cosface"
    assert call(monkeypatch, "heads", "cosfase") == 2
    assert "did you mean 'cosface'?" in capsys.readouterr().err


def test_heads_as_json(monkeypatch, capsys):
    assert call(monkeypatch, "heads", "--json") == 0
    cards = json.loads(capsys.readouterr().out)
    assert [card["name"].removesuffix(":NAME") for card in cards] == sorted(HEADS)
    arcface = next(card for card in cards if card["name"] == "arcface")
    assert arcface["metric"] == "cosine"
    assert arcface["images_per_identity"] == 1
    assert {p["name"]: p["default"] for p in arcface["parameters"]} == {
        "margin": 0.5,
        "scale": 30.0,
        "easy_margin": False,
        "gradient": "exact",
    }
