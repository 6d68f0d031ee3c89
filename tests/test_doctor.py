"""`facever doctor`: it finds what is there, says what is broken, and gives nothing away."""

import json
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

from facever import doctor
from facever.cli.main import main
from facever.errors import GalleryError


def test_versions_are_those_of_the_environment() -> None:
    found = dict(doctor._versions())
    assert found["numpy"] == metadata.version("numpy")
    assert found["scikit-learn"] == metadata.version("scikit-learn")
    assert "faiss" not in found  # under engines, with its kind


def test_paths_of_the_home_are_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert doctor.short_path(tmp_path / "models") == str(Path("~") / "models")
    assert doctor.short_path(tmp_path) == "~"
    assert doctor.short_path(f"{tmp_path}-other") == f"{tmp_path}-other"


def run(monkeypatch, capsys, *words: str) -> tuple[int, str]:
    monkeypatch.setattr("sys.argv", ["facever", "doctor", *words])
    with pytest.raises(SystemExit) as leaving:
        main()
    return int(leaving.value.code or 0), capsys.readouterr().out


def test_all_is_well_and_nothing_private_is_said(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("FACEVER_CACHE", str(tmp_path / "data"))
    monkeypatch.setenv("FACEVER_IMPORTS", "company_secrets.parts,more")
    monkeypatch.setenv("FACEVER_DATA", str(tmp_path / "none"))
    status, out = run(monkeypatch, capsys)
    assert status == 0, out
    for fact in ("Versions", "faiss-", "free memory", "passed in", "200 searches", "~/data (a fol"):
        assert fact in out
    assert "2 modules" in out
    assert "(no such folder)" in out
    assert str(tmp_path) not in out
    assert "company_secrets" not in out


def test_a_broken_part_is_named_and_the_others_are_still_tried(monkeypatch, capsys) -> None:
    def broken(*_: object, **__: object) -> None:
        raise GalleryError(f"two wheels in {Path.home()}/lib")

    monkeypatch.setattr("facever.gallery.gallery.Gallery.create", broken)
    monkeypatch.setattr("facever.gallery.index.faiss_import.import_faiss", broken)
    status, out = run(monkeypatch, capsys, "--json")
    said = json.loads(out)
    assert status == 1
    assert said["passed"] is False
    assert said["tests"]["gallery"] == "FAILED: two wheels in ~/lib"
    assert said["tests"]["images"].startswith("passed")
    assert said["engines"]["faiss"] == "cannot be used: two wheels in ~/lib"


def test_what_is_not_installed_is_not_a_failure(monkeypatch, capsys) -> None:
    monkeypatch.setattr(
        doctor,
        "find_spec",
        lambda name: None if name in ("faiss", "onnxruntime") else find_spec(name),
    )
    status, out = run(monkeypatch, capsys, "--json")
    said = json.loads(out)
    assert (status, said["passed"]) == (0, True)
    assert said["engines"]["faiss"] == said["engines"]["onnxruntime"] == "not installed"
    assert (
        said["tests"]["gallery"] == "not tried: faiss is not installed: pip install 'facever[cpu]'"
    )
    assert "not tried: onnxruntime is not installed" in said["tests"]["onnx model"]
    assert said["tests"]["images"].startswith("passed")
