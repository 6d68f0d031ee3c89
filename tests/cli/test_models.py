"""`facever models`."""

import json
from pathlib import Path

import pytest

from facever.catalogue import entries
from facever.cli.main import main
from facever.models.loading import load_model


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


ADD = ("--size", "24x16", "--mean", "120,110,100", "--std", "50", "--color", "bgr")


def test_a_foreign_model_is_added(facever, make_onnx, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    status, shown, _ = facever("models", "add", make_onnx(), *ADD, "--out", out)
    model = load_model(out)
    assert status == 0
    for part in ("24 x 16 bgr", "120 110 100", "5 components", "images per second"):
        assert part in shown
    assert model.fingerprint in shown
    words = ("--alignment", "arcface-112", "--licence", "MIT", "--overwrite", "--json")
    status, shown, _ = facever("models", "add", out, *words, "--out", out)
    told = json.loads(shown)
    assert (status, told["dimension"]) == (0, 5)
    assert told["fingerprint"] == load_model(out).fingerprint != model.fingerprint
    assert told["card"]["licence"] == "MIT"
    assert told["card"]["mean"] == [120, 110, 100]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--size", "1x2x3", "--mean", "0", "--std", "1"), ("--size", "1x2x3", "HEIGHTxWIDTH")),
        (("--mean", "a", "--std", "1"), ("--mean", "'a'")),
        (("--mean", "1,2", "--std", "1"), ("--mean", "'1,2'")),
        ((), ("--mean and --std", "--like insightface")),
        (("--like", "sfase"), ("did you mean 'sface'",)),
        ((*ADD, "--layout", "NCWH"), ("layout", "NCHW")),
    ],
)
def test_what_add_refuses(words, parts, facever, make_onnx, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    status, shown, said = facever("models", "add", make_onnx(), *words, "--out", out)
    assert (status, shown, said.count("\n")) == (2, "", 1)
    assert all(part in said for part in parts), said
    assert not out.exists()


def test_weights_without_a_network_say_how_to_export(facever, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.pth").write_bytes(b"anything")
    for given in (tmp_path / "model", tmp_path / "model" / "weights.pth"):
        status, _, said = facever("models", "add", given, "--out", tmp_path / "o.onnx")
        assert (status, said.count("\n")) == (2, 1)
        assert str(given) in said
        assert "torch.onnx.export" in said
