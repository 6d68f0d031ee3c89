"""Where models of the catalogue are found, and what is said of them."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from facever.catalogue import Entry, entries, entry, found_at, introduce, is_name, path_of
from facever.errors import ModelError


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine that has no model: its cache is empty, and no package brings one."""
    monkeypatch.delenv("FACEVER_MODELS", raising=False)
    monkeypatch.setenv("FACEVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("facever.catalogue.finding.find_spec", lambda _: None)
    return tmp_path


def small(content: bytes) -> Entry:
    return replace(
        entry("yunet"), size=len(content), sha256=hashlib.sha256(content).hexdigest(), file="m.onnx"
    )


def test_entries_say_what_a_person_must_know() -> None:
    assert {"yunet", "sface"} <= {one.name for one in entries()}
    for one in entries():
        assert one.licence
        assert one.trained_on
        assert one.source
        assert one.urls
        assert len(one.sha256) == 64
        assert one.size > 0
        assert all(url.startswith("https://") for url in one.urls)
        assert (one.task == "embedding") == bool(one.input)
    assert len({one.sha256 for one in entries()}) == len(entries())


def test_names() -> None:
    assert is_name("sface")
    assert not is_name("sfac")
    with pytest.raises(ModelError, match=r"sfac.*did you mean 'sface'"):
        entry("sfac")


def test_a_model_that_is_nowhere(nowhere: Path) -> None:
    with pytest.raises(ModelError, match=r"'sface'.*facever models get sface.*FACEVER_MODELS"):
        path_of("sface")


def test_the_cache_and_the_users_folder(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = small(b"a model")
    cached = nowhere / "cache" / "models" / "m.onnx"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"a model")
    assert found_at(one) == cached
    own = nowhere / "own"
    own.mkdir()
    (own / "m.onnx").write_bytes(b"a model")
    monkeypatch.setenv("FACEVER_MODELS", str(own))
    assert found_at(one) == own / "m.onnx"


def test_a_file_of_another_hash(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = small(b"a model")
    cached = nowhere / "cache" / "models" / "m.onnx"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"A model")
    assert found_at(one) is None
    monkeypatch.setenv("FACEVER_MODELS", str(cached.parent))
    with pytest.raises(ModelError, match=r"m\.onnx.*SHA-256.*remove it"):
        found_at(one)


def test_a_folder_that_is_not_there(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEVER_MODELS", str(nowhere / "none"))
    with pytest.raises(ModelError, match=r"FACEVER_MODELS.*none"):
        path_of("yunet")


def test_a_model_is_introduced_once(capsys: pytest.CaptureFixture[str]) -> None:
    one = replace(entry("sface"), name="introduced once")
    introduce(one)
    introduce(one)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert one.licence in said[0]
    assert one.trained_on in said[0]
