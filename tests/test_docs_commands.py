"""The commands of the documents run, one document after the other, on small data.

A block after `<!-- not run: REASON -->` is not run (see tests/docs/test_shell_blocks.py).
README and the pages gallery, postgres, service and plug-ins have tests of their own.
"""

import json
import re
import shlex
import shutil
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from facever import EmbeddingSet
from facever.catalogue import path_of
from facever.cli.main import main
from facever.config import parse
from facever.data.synthesize import synthesize
from facever.models import Embedder, ModelConfig, save_embedder
from tests.docs.blocks import blocks_of
from tests.ijb_tree import Tree

PROJECT = Path(__file__).parent.parent


def run(
    document: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    without: str = r"\Z\A",
) -> int:
    """Run every `facever` command of a document but those that match; return how many."""
    ran = 0
    for one in blocks_of(PROJECT / document):
        for line in ("" if one.reason else one.code).replace("\\\n", " ").splitlines():
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


def run_python(document: str) -> dict[str, object]:
    """Execute the Python blocks of a document, one after the other; return their names."""
    names: dict[str, object] = {}
    text = (PROJECT / document).read_text()
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, document, "exec"), names)
    return names


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
        track=[f"{one}-{n % 3}" for n, one in enumerate(who)],
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


def test_embeddings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    made = faces(range(40), 4, 1)
    np.save("vectors.npy", made.vectors)
    made.rows[["identity", "camera"]].to_csv("labels.csv", index=False)
    np.savez("features.npz", features=made.vectors, pids=np.arange(160) // 4)
    assert run("docs/embeddings.md", monkeypatch, capsys) == 7


@pytest.mark.slow
def test_scaling_and_heads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    synthesize(tmp_path / "DATA", 6, 3, size=32)
    assert run("docs/scaling.md", monkeypatch, capsys) >= 1
    assert run("docs/heads.md", monkeypatch, capsys) >= 1


@pytest.mark.slow
def test_layouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = {"backbone": "test_resnet", "embedding_size": 8, "preprocessing": {"size": 32}}
    model = Embedder(parse(ModelConfig, config))
    save_embedder(model, tmp_path / "model.safetensors", metric="cosine")
    names = [
        f"{p:04d}/{p:04d}_{c:03d}_{c:02d}_0303noon_0001_0.jpg" for p in range(3) for c in (1, 2)
    ]
    for name, part in (("query", names[::2]), ("gallery", names[1::2])):
        lines = [f"{image} {int(image[:4])}" for image in part]
        (tmp_path / "MSMT17_V1").mkdir(exist_ok=True)
        (tmp_path / "MSMT17_V1" / f"list_{name}.txt").write_text("\n".join(lines))
    ann, bo = ([f"{name}_{k:04d}.jpg" for k in range(11)] for name in ("Ann", "Bo"))
    both = [(1, a, b) for a, b in pairwise(ann)]
    both += [(0, a, b) for a in ann[:10] for b in bo[:10]]
    pairs = [f"{image} {label}" for label, *images in both for image in images]
    for file in (
        *(f"MSMT17_V1/test/{name}" for name in names),
        *(f"crops/{p}_c{c:02d}.jpg" for p in range(10000, 10003) for c in (1, 12)),
        *(f"calfw/images/{name}" for name in ann + bo),
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(file, np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    (tmp_path / "calfw" / "pairs_CALFW.txt").write_text("\n".join(pairs))
    made = faces(range(30), 4, 1)
    np.savez("features.npz", features=made.vectors, pids=np.arange(120) // 4)
    trials = [(a, b) for a in range(12) for b in range(12)]
    lines = [f"p{a} m{a} p{b} image{b} {np.cos(a - b):.3f}\n" for a, b in trials]
    (tmp_path / "scores-dev.txt").write_text("".join(lines))
    assert run("docs/formats.md", monkeypatch, capsys) == 10


@pytest.mark.slow
def test_reid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On generated crops, with a shorter training than the guide's."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    people = {"train": range(12), "query": range(40, 46), "gallery": range(40, 46)}
    for subset, numbers in people.items():
        (tmp_path / "CROPS" / subset).mkdir(parents=True)
        for number in numbers:
            pattern = np.random.default_rng(number).integers(0, 256, (8, 4, 3))
            for image in range(8 if subset == "train" else 2):
                camera = 2 if subset == "query" else 1 + image % 2
                track = 10 * number + (0 if subset == "query" else 1 + image % 2)
                pixels = np.clip(pattern + draw.normal(0, 30, pattern.shape), 0, 255)
                crop = cv2.resize(pixels.astype(np.uint8), (32, 64))
                name = f"{number:04d}_c{camera}_t{track:04d}_{image:02d}.jpg"
                assert cv2.imwrite(f"CROPS/{subset}/{name}", crop)
    guide = (PROJECT / "docs" / "reid.md").read_text()
    assert guide.count(" epochs=8 ") == 1
    short = "epochs=1 batch.size=16 data.development_share=0.3 schedule.warmup_epochs=0"
    (tmp_path / "reid.md").write_text(guide.replace("epochs=8", short))
    assert run(str(tmp_path / "reid.md"), monkeypatch, capsys) == 13
    assert "Retrieval" in (tmp_path / "report.html").read_text()
    probe = "CROPS/query/0042_c2_t0420_00.jpg"
    words = ["facever", "gallery", "search", "GALLERY", probe, "--model", "RUN", "--json"]
    monkeypatch.setattr("sys.argv", words)
    with suppress(SystemExit):
        main()
    (answer,) = json.loads(capsys.readouterr().out)["answers"]
    assert answer["candidates"][0]["person"] == "0042"  # the image itself is enrolled


def test_deployment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    for name in ("DATA", "PEOPLE"):
        synthesize(tmp_path / name, 6, 3, size=32)
    images = sorted((tmp_path / "DATA").rglob("*.jpg"))
    shutil.copy(images[0], tmp_path / "a.jpg")
    shutil.copy(images[1], tmp_path / "b.jpg")
    config = {"backbone": "test_resnet", "embedding_size": 8, "preprocessing": {"size": 32}}
    embedder = Embedder(parse(ModelConfig, config))
    with torch.no_grad():
        embedder.train()(torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8))
    (tmp_path / "RUN").mkdir()
    save_embedder(embedder, tmp_path / "RUN" / "model.safetensors", metric="cosine")
    assert run("docs/deployment.md", monkeypatch, capsys) == 7


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
    named = [("a", 0), ("b", 1), ("group", 0), ("someone", 1)]
    (tmp_path / "PEOPLE" / several[0].name).rename(tmp_path / "PEOPLE" / "ada")
    for name, image in ((name, images[number]) for name, number in named):
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
    [
        ("docs/photos.md", 7),
        ("docs/models.md", 7),
        ("docs/foreign-models.md", 9),
        ("docs/align.md", 3),
        ("docs/engines.md", 3),
        ("docs/start/photos.md", 11),
        ("docs/start/from-deepface.md", 3),
    ],
)
def test_photos_and_models(
    photos: Path,
    document: str,
    least: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(document, monkeypatch, capsys) >= least
    if document.startswith(("docs/start/", "docs/align")):
        assert run_python(document)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.usefixtures("photos")
def test_python_from_insightface() -> None:
    decision = run_python("docs/start/from-insightface.md")["decision"]
    assert decision.same is True  # two photos of one person


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.usefixtures("real_models")
def test_ijb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Tree().write(tmp_path / "IJBC")
    for number, image in enumerate(sorted((folder / "loose_crop").iterdir())):
        pixels = np.random.default_rng(number).integers(0, 256, (100, 100, 3), np.uint8)
        cv2.imwrite(str(image), pixels)
    assert run("docs/ijb.md", monkeypatch, capsys) == 6


@pytest.mark.real
@pytest.mark.slow
def test_the_photos_of_the_readme(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    others = r"doctor|RUN|FACES|EMBEDDINGS --far|report EMB|GALLERY"
    assert run("README.md", monkeypatch, capsys, others) == 5


@pytest.mark.slow
def test_own_faces_and_thresholds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From crops to a gallery, then thresholds and a report of the same run."""
    monkeypatch.chdir(tmp_path)
    synthesize(tmp_path / "CROPS", 40, 4, size=32)
    for name, people in (("DEVELOPMENT", 24), ("OTHER_SITE", 24)):
        synthesize(tmp_path / name, people, 3, size=32, seed=len(name))
    shots = sorted((tmp_path / "DEVELOPMENT").rglob("*.jpg"))
    for shot in shots:
        part = "ENROLLED" if shot.name == "0000.jpg" else "PROBES"
        if part == "PROBES" or shot.parent.name < "person000012":
            (tmp_path / part / shot.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(shot, tmp_path / part / shot.parent.name)
    for name, shot in zip("ab", shots, strict=False):
        shutil.copy(shot, tmp_path / f"{name}.jpg")
    assert run("docs/own-faces.md", monkeypatch, capsys) == 8
    assert run("docs/threshold.md", monkeypatch, capsys) == 10
    assert run("docs/report.md", monkeypatch, capsys) == 1


@pytest.mark.slow
def test_from_pytorch_metric_learning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    synthesize(tmp_path / "FACES", 24, 4, size=32)
    assert run("docs/start/from-pytorch-metric-learning.md", monkeypatch, capsys) == 1
    assert "output" in run_python("docs/start/from-pytorch-metric-learning.md")


def test_python_from_fast_reid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(run_python("docs/start/from-fast-reid.md")["imported"]) == 40


@pytest.mark.slow
def test_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The dry run and the model card; CONFIG and the run are those of a small training."""
    monkeypatch.chdir(tmp_path)
    synthesize(tmp_path / "DATA", 20, 8, size=64)
    words = ["model.backbone=test_resnet", "model.embedding_size=8", "batch.size=8", "workers=0"]
    command = ["facever", "train", "folder", "data.root=DATA", "epochs=1", *words, "--out", "RUN"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code, capsys.readouterr().err
    assert run("docs/training.md", monkeypatch, capsys) >= 2
    assert "apache-2.0" in (tmp_path / "RUN" / "MODEL_CARD.md").read_text()


def test_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("docs/install.md", monkeypatch, capsys) == 1
    assert run("docs/upgrade.md", monkeypatch, capsys) == 1
