"""`facever models`."""

import json
from pathlib import Path

import pytest

from facever.catalogue import entries
from facever.cli.main import main


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["facever", "models", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_a_list_for_people_and_for_programs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "list") == 0
    shown = capsys.readouterr().out
    assert run(monkeypatch, "list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in listed] == [one.name for one in entries()]
    for one in listed:
        assert one["name"] in shown
        assert one["licence"] in shown
        assert (one["path"] is None) or Path(one["path"]).is_file()


def test_all_that_is_known_of_a_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "show", "sface") == 0
    shown = capsys.readouterr().out
    assert run(monkeypatch, "show", "sface", "--json") == 0
    one = json.loads(capsys.readouterr().out)
    for key in ("licence", "trained_on", "source", "sha256", "alignment"):
        assert one[key] in shown
    assert one["input"]["size"] == [112, 112]


def test_an_unknown_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "get", "sfaces") == 2
    assert "did you mean 'sface'" in capsys.readouterr().err


def test_what_is_here_is_not_fetched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from dataclasses import replace
    from hashlib import sha256

    (tmp_path / "small.onnx").write_bytes(b"small")
    monkeypatch.setenv("FACEVER_MODELS", str(tmp_path))
    small = replace(
        entries()[0], file="small.onnx", size=5, sha256=sha256(b"small").hexdigest(), urls=[]
    )
    monkeypatch.setattr("facever.catalogue.entry", lambda _: small)
    assert run(monkeypatch, "get", "yunet", "--json") == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(tmp_path / "small.onnx")
