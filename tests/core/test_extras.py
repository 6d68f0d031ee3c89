"""The packages of the extras: the table, the messages, and what works without them."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest

import facever
from facever.core.extras import EXTRAS, install_command, named_extras
from facever.errors import ConfigError, MissingPackageError

PROJECT = Path(__file__).parent.parent.parent
OPTIONAL = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]
DISTRIBUTIONS = {"sklearn": "scikit-learn", "faiss": "faiss-cpu", "mlflow": "mlflow-skinny"}
TRAINING = [module for module, extra in EXTRAS.items() if extra in ("train", "report")]

ABSENT = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""
EVERY_MODULE = """
import importlib, pathlib, facever
root = pathlib.Path(facever.__file__).parent
for path in sorted(root.rglob("*.py")):
    parts = path.relative_to(root).with_suffix("").parts
    name = ".".join(("facever", *parts)).removesuffix(".__init__")
    if name.endswith("__main__"):
        continue
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        print(name, error)
"""


def packages_of(extra: str) -> set[str]:
    """Return the names of all packages of an extra, and of the extras that it names."""
    found: set[str] = set()
    for requirement in OPTIONAL[extra]:
        inner = re.fullmatch(r"facever\[(.*)\]", requirement)
        if inner:
            for name in inner[1].split(","):
                found |= packages_of(name)
        else:
            found.add(re.match(r"[\w-]+", requirement)[0])  # type: ignore[index]
    return found


def without(modules: list[str], code: str, *, check: bool = True) -> subprocess.CompletedProcess:
    """Run code in a process that cannot import these modules."""
    code = ABSENT.format(absent=set(modules)) + code
    words = [sys.executable, "-c", code]
    return subprocess.run(words, capture_output=True, text=True, check=check)


@pytest.mark.parametrize("module", EXTRAS)
def test_an_extra_installs_the_package_that_the_table_says(module: str) -> None:
    distribution = DISTRIBUTIONS.get(module, module.replace("_", "-"))
    assert distribution in packages_of(EXTRAS[module])


def test_the_extras_of_a_training_are_the_same_for_both_kinds_of_faiss() -> None:
    assert packages_of("cpu") - {"faiss-cpu"} == packages_of("gpu") - {"faiss-gpu"}
    assert packages_of("cpu") > packages_of("train") > packages_of("report")


def test_no_extra_of_serving_brings_torch() -> None:
    """Neither itself nor through what it requires."""
    todo, seen = set(packages_of("serve-onnx")) | packages_of("faces"), set()
    while todo:
        name = todo.pop()
        seen.add(name)
        for requirement in importlib.metadata.requires(name) or []:
            required = re.match(r"[\w.-]+", requirement)[0]  # type: ignore[index]
            if "extra ==" not in requirement and required not in seen:
                try:
                    importlib.metadata.version(required)
                except importlib.metadata.PackageNotFoundError:
                    continue  # for another platform
                todo.add(required)
    assert "numpy" in seen
    assert not seen & {"torch", "torchvision", "timm", "albumentations", "matplotlib"}


def test_every_extra_that_a_text_names_is_there() -> None:
    files = [*PROJECT.glob("facever/**/*.py"), *PROJECT.glob("docs/*.md"), PROJECT / "README.md"]
    named = {
        name
        for path in files
        for names in re.findall(r"(?:facever|'\.)\[([a-z0-9,-]+)\]", path.read_text())
        for name in names.split(",")
    }
    assert len(named) > 8
    assert named <= set(OPTIONAL)


def test_a_missing_package_is_one_line_that_names_the_extra() -> None:
    with pytest.raises(MissingPackageError, match=r"timm.*facever\[train\]"), named_extras():
        raise ModuleNotFoundError("No module named 'timm.layers'", name="timm.layers")
    with pytest.raises(ModuleNotFoundError, match="another"), named_extras():
        raise ModuleNotFoundError("No module named 'another'", name="another")
    assert issubclass(MissingPackageError, ConfigError)
    assert issubclass(MissingPackageError, ImportError)
    assert "facever[pml]" in install_command("pytorch_metric_learning")


@pytest.mark.slow
def test_only_training_needs_the_packages_of_a_training() -> None:
    """Data, galleries, evaluation, ONNX models and the service are imported without them."""
    failed = without(TRAINING, EVERY_MODULE).stdout.splitlines()
    rooms = {line.split()[0].split(".")[1] for line in failed}
    allowed = {"training", "heads", "models", "deployment", "studies", "quickstart", "data"}
    assert rooms == allowed
    names = {line.split()[0] for line in failed}
    assert {one for one in names if one.startswith("facever.data.")} == {
        f"facever.data.{name}" for name in ("decoded", "loading", "workers")
    } | {f"facever.data.readers.{name}" for name in ("digits", "olivetti") if name in str(names)}
    assert not [one for one in names if one.startswith("facever.models.onnx")]
    assert "facever.models.loading" not in names


USES = """
import facever
from facever.errors import MissingPackageError
import facever.evaluate, numpy as np
from pathlib import Path

def refused(call):
    try:
        call()
    except MissingPackageError as error:
        assert "facever[train]" in str(error), error
    else:
        raise SystemExit("not refused")

refused(lambda: facever.train)
refused(lambda: facever.models.Embedder)
refused(lambda: __import__("facever.heads"))
refused(lambda: facever.load_model("RUN"))
random = np.random.default_rng(0)
people = np.arange(20).repeat(4)
rows = random.normal(size=(20, 8))[people] + 0.3 * random.normal(size=(80, 8))
vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
result = facever.evaluate.verification({"vectors": vectors, "identity": people}, far=[1e-1])
print(result)
try:
    result.plot_roc()
except MissingPackageError as error:
    assert "facever[report]" in str(error), error
faces = facever.EmbeddingSet.from_arrays(vectors, [f"p{one}" for one in people], fingerprint="x")
with facever.Gallery.create(Path("GALLERY"), fingerprint="x", dimension=8) as gallery:
    gallery.enroll(faces)
    assert gallery.search(faces)
"""


@pytest.mark.slow
def test_galleries_and_evaluation_work_without_them(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    (tmp_path / "RUN").mkdir()
    done = without(TRAINING, "import facever.models\n" + USES, check=False)
    assert done.returncode == 0, done.stderr
    assert "1e-1" in done.stdout


VERBS = """
import io, sys
from contextlib import redirect_stderr, redirect_stdout
from facever.cli.main import main

def run(*words):
    sys.argv = ["facever", *words]
    out, err = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        print(end.code or 0, "|", " ".join(words), "|", " ".join(err.getvalue().split()))

for words in (
    ["train", "folder", "data.root=FACES"], ["heads"], ["config"], ["quickstart"],
    ["verify", "RUN", "a.jpg", "b.jpg"], ["embed", "RUN", "FACES", "--out", "E"],
    ["export", "RUN", "--out", "m.onnx"], ["bakeoff", "bakeoff_lfw"],
):
    run(*words)
print("--")
for words in (["recipes"], ["models", "list"], ["gallery", "--help"], ["--version"]):
    run(*words)
"""


@pytest.mark.slow
def test_a_command_says_which_extra_it_needs(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    for name in ("RUN", "FACES/a"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("FACES/a/a.jpg", "FACES/a/b.jpg", "a.jpg", "b.jpg"):
        cv2.imwrite(name, np.zeros((20, 20, 3), np.uint8))
    refused, worked = without(TRAINING, VERBS).stdout.split("--\n", 1)
    assert len(refused.splitlines()) == 8
    for line in refused.splitlines():
        assert line.startswith("2 |"), line
        assert "facever[train]" in line
    assert len(worked.splitlines()) == 4
    for line in worked.splitlines():
        assert line.startswith("0 |"), line


def test_importing_facever_imports_none_of_them() -> None:
    code = "import sys, facever; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert not set(EXTRAS) & set(loaded.stdout.split())
    assert facever.__version__
