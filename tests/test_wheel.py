"""A wheel holds all that a checkout does: recipes, templates, types, the version."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from facever._version import __version__

PROJECT = Path(__file__).parent.parent
BUILD = "import sys, setuptools.build_meta as backend; backend.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this checkout, built from a copy: setuptools writes into its folder."""
    pytest.importorskip("setuptools", "77")
    place = tmp_path_factory.mktemp("wheel")
    copy = place / "copy"
    copy.mkdir()
    for name in ("facever", "configs", "pyproject.toml", "README.md", "LICENSE"):
        subprocess.run(["cp", "-R", "-P", str(PROJECT / name), str(copy)], check=True)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(place)], cwd=copy, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(place.glob("*.whl")))


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
