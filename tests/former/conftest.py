"""The files of former code, unpacked once."""

from pathlib import Path

import pytest

from tests.former.replay import unpack


@pytest.fixture(scope="session")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack("evaluation.tar.xz", tmp_path_factory.mktemp("evaluation"))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack("models.tar.xz", tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def galleries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack("galleries.tar.xz", tmp_path_factory.mktemp("galleries"))


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack("runs.tar.xz", tmp_path_factory.mktemp("runs"))
