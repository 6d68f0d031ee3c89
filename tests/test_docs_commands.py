"""The commands of the documents run, one document after the other, on small data.

Not run: those of docs/results.md and docs/htg.md and the bake-offs of docs/heads.md, which take
hours, and those of docs/scaling.md under torchrun (tests/training/test_distributed.py). README,
docs/gallery.md and docs/service.md have tests of their own.
"""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from facever import EmbeddingSet
from facever.catalogue import path_of
from facever.cli.main import main
from facever.data.synthesize import synthesize

PROJECT = Path(__file__).parent.parent


def run(
    document: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    without: str = r"\Z\A",
) -> int:
    """Run every `facever` command of a document but those that match; return how many."""
    ran = 0
    for block in re.findall(r"```bash\n(.*?)```", (PROJECT / document).read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] != ["facever"] or re.search(without, line):
                continue
            monkeypatch.setattr("sys.argv", words)
            status = 0
            try:
                main()
            except SystemExit as end:
                status = int(end.code or 0)
            # 1 is a "no", and 2 without an error: scores, and nothing that decides
            said = capsys.readouterr().err
            answers = (0, 1, 2) if words[1] == "verify" and "error" not in said else (0,)
            assert status in answers, f"{document}: {line}: {said}"
            ran += 1
    return ran


def faces(people: range, each: int, seed: int) -> EmbeddingSet:
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(2000, 64))
    who = np.repeat(np.array(people), each)
    rows = centres[who] + 0.6 * draw.normal(size=(len(who), 64))
    return EmbeddingSet.from_arrays(
        rows,
        [f"p{one}" for one in who],
        fingerprint="documents",
        camera=np.arange(len(who)) % 3,
        subset=np.where(np.arange(len(who)) % each == 0, "query", "gallery"),
    )


@pytest.mark.slow
def test_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    faces(range(150), 4, 1).save(tmp_path / "faces")
    faces(range(400), 2, 2).save(tmp_path / "gallery")
    faces(range(300, 500), 2, 3).save(tmp_path / "probes")
    faces(range(50, 450), 2, 4).save(tmp_path / "other-gallery")
    assert run("docs/evaluation.md", monkeypatch, capsys) >= 7


@pytest.mark.slow
def test_scaling_and_heads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    synthesize(tmp_path / "DATA", 6, 3, size=32)
    assert run("docs/scaling.md", monkeypatch, capsys, "torchrun|gallery tune|train CONFIG") >= 1
    assert run("docs/heads.md", monkeypatch, capsys, "bakeoff|figure (features|prototypes)") >= 1


@pytest.fixture
def photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_data: Path, real_models: None
) -> Path:
    """A folder with real photos under the names of the documents."""
    raw = real_data / "lfw" / "raw_sample"
    if not raw.is_dir():
        pytest.skip("FACEVER_DATA has no lfw/raw_sample")
    monkeypatch.chdir(tmp_path)
    several = [one for one in sorted(raw.iterdir()) if len(list(one.glob("*.jpg"))) > 1]
    for name in ("PHOTOS", "PEOPLE", "DEVELOPMENT"):
        for person in [*several, *sorted(raw.iterdir())[:45]][: 50 if name == "DEVELOPMENT" else 6]:
            if person.is_dir():
                shutil.copytree(person, tmp_path / name / person.name, dirs_exist_ok=True)
    images = sorted(several[0].glob("*.jpg"))
    for name, image in (("a", images[0]), ("b", images[1]), ("group", images[0])):
        shutil.copy(image, tmp_path / f"{name}.jpg")
    shutil.copy(path_of("sface"), tmp_path / "model.onnx")
    shutil.copy(tmp_path / "model.onnx", tmp_path / "arcface.onnx")
    for path in tmp_path.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return tmp_path


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(
    ("document", "least"),
    [("docs/photos.md", 7), ("docs/models.md", 7), ("docs/foreign-models.md", 4)],
)
def test_photos_and_models(
    photos: Path,
    document: str,
    least: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(document, monkeypatch, capsys, "sface lfw ") >= least


@pytest.mark.real
@pytest.mark.slow
def test_the_photos_of_the_readme(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    others = r"RUN|FACES|EMBEDDINGS --far|report EMB|GALLERY"
    assert run("README.md", monkeypatch, capsys, others) == 5
