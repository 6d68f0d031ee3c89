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
        assert f"{name}: {(head.__doc__ or '').splitlines()[0]}\n    paper: {head.paper}\n" in said
    assert "    margin = 0.35: m, taken off the target cosine (from 0, below 1)\n" in said
    assert "    compare by: dot; sampling: any batch\n" in said


def test_heads_as_json(monkeypatch, capsys):
    assert call(monkeypatch, "heads", "--json") == 0
    cards = json.loads(capsys.readouterr().out)
    assert [card["name"] for card in cards] == sorted(HEADS)
    arcface = next(card for card in cards if card["name"] == "arcface")
    assert arcface["metric"] == "cosine"
    assert arcface["images_per_identity"] == 1
    assert {p["name"]: p["default"] for p in arcface["parameters"]} == {
        "weight": 1.0,
        "margin": 0.5,
        "scale": 30.0,
        "easy_margin": False,
    }
