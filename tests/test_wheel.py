"""A wheel and an sdist hold all that a checkout does: recipes, templates, types, the version."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from facever._version import __version__

PROJECT = Path(__file__).parent.parent
ROOT = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "constraints.txt")
BUILD = "import sys, setuptools.build_meta as backend; backend.build_{}(sys.argv[1])"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout: setuptools writes into its folder."""
    pytest.importorskip("setuptools", "77")
    folder = tmp_path_factory.mktemp("copy")
    for name in ("facever", "configs", "tests", *ROOT):
        subprocess.run(["cp", "-R", "-P", str(PROJECT / name), str(folder)], check=True)
    return folder


def build(kind: str, source: Path, place: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-c", BUILD.format(kind), str(place)],
        cwd=source,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return next(place.iterdir())


@pytest.fixture(scope="module")
def wheel(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(build("wheel", copy, tmp_path_factory.mktemp("wheel")))


@pytest.fixture(scope="module")
def unpacked(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, unpacked."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(build("sdist", copy, tmp_path_factory.mktemp("sdist"))) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.iterdir())


def test_a_wheel_is_whole(wheel: zipfile.ZipFile) -> None:
    held = set(wheel.namelist())
    package = PROJECT / "facever"
    wanted = {
        f"facever/{path.relative_to(package)}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    wanted |= {f"facever/recipes/{path.name}" for path in (PROJECT / "configs").iterdir()}
    assert {"facever/py.typed", "facever/render/report.html"} <= wanted
    assert {name for name in held if name.startswith("facever/")} == wanted
    assert "facever/recipes/lfw_best.yaml" in wanted


def test_a_wheel_has_the_version_of_the_package(wheel: zipfile.ZipFile) -> None:
    (metadata,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    assert f"\nVersion: {__version__}\n" in wheel.read(metadata).decode()


def test_an_unpacked_wheel_trains_by_name(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    code = "from facever.training.recipes import recipe_path as p; print(p('lfw_best'))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()) == tmp_path / "facever" / "recipes" / "lfw_best.yaml"


def test_an_sdist_builds_the_same_wheel(
    unpacked: Path, wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    assert unpacked.name == f"facever-{__version__}"
    for name in ROOT:
        assert (unpacked / name).read_bytes() == (PROJECT / name).read_bytes()
    again = zipfile.ZipFile(build("wheel", unpacked, tmp_path))
    assert set(again.namelist()) == set(wheel.namelist())
    for name in wheel.namelist():
        if name.startswith("facever/"):
            assert again.read(name) == wheel.read(name), name
    for name in ("recipes/folder.yaml", "catalogue/models.json", "service/page/index.html"):
        assert f"facever/{name}" in wheel.namelist()


def test_an_sdist_has_nothing_else(unpacked: Path) -> None:
    made = {"PKG-INFO", "setup.cfg", "facever.egg-info"}
    held = {path.name for path in unpacked.iterdir()} - {"build"}  # of the wheel built from it
    assert held == {"facever", *ROOT, *made}
    assert not list(unpacked.rglob("__pycache__"))
