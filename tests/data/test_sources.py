"""Where data is looked for, in which order, and what is said."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facever.core.cache_folder import cache_folder
from facever.data import sources
from facever.data.cached_manifest import cached_manifest
from facever.data.manifest import Manifest
from facever.errors import DataError

Paint = Callable[..., Path]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, a cache and an environment of our own."""
    monkeypatch.delenv("FACEVER_DATA", raising=False)
    monkeypatch.setenv("FACEVER_CACHE", str(tmp_path / "cache"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def test_roots_in_order(tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sources.data_roots() == []
    option, variable = tmp_path / "option", tmp_path / "variable"
    for folder in (option, variable, elsewhere / "data"):
        folder.mkdir()
    monkeypatch.setenv("FACEVER_DATA", str(variable))
    assert sources.data_roots(option) == [option, variable, Path("data")]
    assert sources.data_roots() == [variable, Path("data")]


def test_roots_that_are_named_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"^--data: no folder .*/gone$"):
        sources.data_roots(tmp_path / "gone")
    monkeypatch.setenv("FACEVER_DATA", str(tmp_path / "gone"))
    with pytest.raises(DataError, match=r"^FACEVER_DATA: no folder .*/gone$"):
        sources.data_roots()


def test_find_takes_a_path_before_a_name(tmp_path: Path, elsewhere: Path) -> None:
    (tmp_path / "option" / "orl").mkdir(parents=True)
    assert sources.find("orl", tmp_path / "option") == tmp_path / "option" / "orl"
    (elsewhere / "orl").mkdir()
    assert sources.find("orl", tmp_path / "option") == Path("orl")


def test_find_says_where_it_looked(tmp_path: Path, elsewhere: Path) -> None:
    (elsewhere / "data").mkdir()
    with pytest.raises(DataError, match=rf"^no data 'lwf' \(searched: here, {tmp_path}, data\);"):
        sources.find("lwf", tmp_path)


def test_load_reads_paths_names_and_what_is_built_in(elsewhere: Path, paint: Paint) -> None:
    paint(elsewhere / "data" / "mine" / "a" / "1.png")
    assert sources.load("mine").dataset == "mine"
    assert sources.load(Path("data/mine")).identities == ["a"]
    assert sources.load("digits").dataset == "digits"
    with pytest.raises(DataError, match="'digits' is built in; it has no layout 'lfw'"):
        sources.load("digits", layout="lfw")
    with pytest.raises(DataError, match="no data 'nothing'"):
        sources.load("nothing")


def test_fallback_prefers_lfw_then_orl_then_the_folder_itself(
    tmp_path: Path, paint: Paint, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    paint(root / "a" / "1.png")
    assert sources.fallback(root).dataset == "root"
    assert f"data: your own images: 1 images of 1 identities in {root}" in capsys.readouterr().err
    paint(root / "orl" / "s1" / "1.png")
    assert sources.fallback(root).dataset == "orl"
    assert "data: ORL faces: 1 images" in capsys.readouterr().err
    paint(root / "lfw" / "images" / "A" / "A_0001.jpg")
    (root / "lfw" / "protocol").mkdir()
    (root / "lfw" / "protocol" / "pairs.txt").touch()
    assert sources.fallback(root).dataset == "lfw"
    assert sources.fallback(root / "lfw").dataset == "lfw"
    assert "data: Labeled Faces in the Wild: 1 images" in capsys.readouterr().err


def fake_cache() -> Manifest:
    return cached_manifest("fake", lambda: (np.zeros((2, 4, 4), np.uint8), np.array([3, 4])))


def test_fallback_without_files_is_olivetti_then_generated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sources, "_built_in", lambda name: fake_cache())
    assert len(sources.fallback()) == 2
    assert "data: Olivetti faces through scikit-learn: 2 images" in capsys.readouterr().err

    def failing(name: str) -> Manifest:
        raise DataError("Olivetti faces: not downloaded within 10 s")

    monkeypatch.setattr(sources, "_built_in", failing)
    monkeypatch.setattr(sources, "GENERATED_IDENTITIES", 3)
    monkeypatch.setattr(sources, "GENERATED_IMAGES", 2)
    made = sources.fallback()
    assert (len(made), len(made.identities)) == (6, 3)
    made.check_files()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Olivetti faces: not downloaded within 10 s"
    assert lines[1].startswith("data: synthetic faces: 6 images of 3 identities")
    assert sources.fallback().frame.equals(made.frame)


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("FACEVER_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "facever"


def test_the_cache_is_filled_once_and_never_half() -> None:
    def interrupted() -> tuple[np.ndarray, np.ndarray]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_manifest("fake", interrupted)
    made = fake_cache()
    assert made.identities == ["3", "4"]
    assert cached_manifest("fake", interrupted).frame.equals(made.frame)


def test_built_in_data_keeps_its_name(tmp_path: Path) -> None:
    assert fake_cache().dataset == "fake"
    assert isinstance(fake_cache().frame, pd.DataFrame)


def test_whom_images_show(tmp_path: Path, paint: Paint) -> None:
    one = paint(tmp_path / "people" / "a" / "0.png")
    for shot in range(3):
        paint(tmp_path / "people" / "b" / f"{shot}.png")
    people = tmp_path / "people"
    gathered = sources.gather([one, people / "b"], "x")
    assert gathered.frame["identity"].tolist() == ["x"] * 4
    assert [Path(gathered.locate(row)).is_file() for row in range(4)] == [True] * 4
    assert sources.gather(str(people)).identities == ["a", "b"]
    table = tmp_path / "table.csv"
    table.write_text(f"path,identity\n{one},ann\n")
    assert sources.gather(table).identities == ["ann"]
    (tmp_path / "empty").mkdir()
    for given, person, message in (
        (one, None, "0.png.*--person"),
        ([people, people], None, "--person ID"),
        ([tmp_path / "nothing.png"], "x", "no such path"),
        (tmp_path / "nothing", None, "no data"),
        ([tmp_path / "empty"], "x", "no images in"),
        ([], "x", "no images are given"),
    ):
        with pytest.raises(DataError, match=message):
            sources.gather(given, person)
