import io
import shutil
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import facever
from facever.data.decode import ImageError, decode
from facever.data.manifest import Manifest
from facever.data.members import BLOCK, address_of, close_files
from facever.embeddings.embedding_set import EmbeddingSet
from facever.embeddings.writer import EmbeddingWriter
from facever.errors import ConfigError, DataError
from facever.models import load_embedder
from facever.models.extractor import Extractor, extraction_fingerprint
from facever.models.loading import load_model

READABLE = [0, 1, 2, 4, 5, 6, 7, 8]


def by_hand(run: Path, images: list[np.ndarray], flip: bool = False) -> np.ndarray:
    """Embed one image after the other, in float64."""
    embedder, card = load_embedder(run)
    embedder.double()
    rows = []
    for image in images:
        ready = torch.from_numpy(card.config.preprocessing.apply(image)).permute(2, 0, 1)[None]
        with torch.no_grad():
            row = embedder(ready)
            if flip:
                row = (row + embedder(torch.flip(ready, [3]))) / 2
        rows.append((row / row.norm()).numpy()[0])
    return np.array(rows)


def paths(faces: Manifest) -> list[str]:
    return [faces.locate(i) for i in READABLE]


@pytest.mark.parametrize("flip", [False, True])
def test_embed(flip: bool, run: Path, faces: Manifest):
    extractor = facever.load_model(run, flip=flip, batch_size=3)
    images = [decode(path) for path in paths(faces)]
    wanted = by_hand(run, images, flip)
    assert len(np.unique(wanted.round(4), axis=0)) == 8
    for given in (paths(faces), [Path(p) for p in paths(faces)], images):
        vectors = extractor.embed(given)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, wanted, atol=2e-6)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)


def test_embed_takes_one_none_and_a_stack(run: Path, faces: Manifest):
    extractor = load_model(run)
    image = decode(faces.locate(0))
    wanted = extractor.embed([image])
    assert wanted.shape == (1, 8)
    for single in (
        image,
        faces.locate(0),
        Path(faces.locate(0)),
        image[None],
        image[:, ::-1][:, ::-1],
    ):
        np.testing.assert_array_equal(extractor.embed(single), wanted)
    assert extractor.embed([]).shape == (0, 8)


@pytest.mark.parametrize(
    ("image", "shown"),
    [
        (np.zeros((4, 4, 3)), "float64 [4, 4, 3]"),
        (np.zeros((4, 4), np.int32), "int32 [4, 4]"),
        (np.zeros((4, 4, 4), np.uint8), "uint8 [4, 4, 4]"),
        (np.zeros((0, 4, 3), np.uint8), "uint8 [0, 4, 3]"),
    ],
)
def test_embed_refuses_other_arrays(image: np.ndarray, shown: str, run: Path):
    with pytest.raises(DataError) as error:
        load_model(run).embed([image])
    assert str(error.value).endswith(f" in RGB, not {shown}")


def test_embed_names_an_unreadable_path(run: Path, faces: Manifest):
    with pytest.raises(ImageError, match=r"3.png: not an image of a known format"):
        load_model(run).embed([faces.locate(0), faces.locate(3)])


@pytest.mark.parametrize("workers", [0, 2])
def test_extract(workers: int, run: Path, faces: Manifest, tmp_path: Path):
    extractor = load_model(run, batch_size=4)
    made = extractor.extract(faces, tmp_path / "out", workers=workers)
    assert made.failures == 2
    assert made.rows["path"].tolist() == faces.frame["path"].tolist()
    assert made.rows["identity"].tolist() == faces.frame["identity"].tolist()
    assert np.flatnonzero(~made.acquired).tolist() == [3, 9]
    assert made.rows["error"][3] == f"{faces.locate(3)}: not an image of a known format"
    assert not made.vectors[[3, 9]].any()
    np.testing.assert_allclose(made.vectors[READABLE], extractor.embed(paths(faces)), atol=1e-6)
    assert isinstance(made.vectors, np.memmap)

    with torch.inference_mode():
        image = extractor.embedder.preprocessing.apply(decode(faces.locate(5)))
        raw = extractor.embedder(torch.from_numpy(image).permute(2, 0, 1)[None])
    assert made.rows["norm"][5] == pytest.approx(raw.norm().item(), rel=1e-5)
    assert made.rows["norm"][3] == 0

    assert made.meta.fingerprint == extractor.fingerprint
    assert (made.meta.metric, made.meta.dimension) == ("dot", 8)
    assert (made.meta.dataset, made.meta.root) == (faces.dataset, str(faces.root))
    assert made.meta.preprocessing["size"] == [24, 32]
    assert made.meta.versions["torch"] == torch.__version__
    pd.testing.assert_frame_equal(
        made.trained_on, pd.DataFrame({"identity": ["x"], "dataset": ["faces"]})
    )
    assert EmbeddingSet.load(tmp_path / "out").meta == made.meta


@pytest.mark.parametrize("workers", [None, 2])
def test_a_set_in_memory_is_the_one_that_is_written(
    workers: int | None, run: Path, faces: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    extractor = load_model(run, batch_size=4, flip=True)
    written = extractor.extract(faces, tmp_path / "out", workers=0)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for given in (faces, faces.root, str(faces.root)):
        made = extractor.embed_images(given, workers=workers)
        np.testing.assert_array_equal(made.vectors, written.vectors)
        pd.testing.assert_frame_equal(made.rows, written.rows)
        pd.testing.assert_frame_equal(made.trained_on, written.trained_on)
        assert replace(made.meta, options=written.meta.options) == written.meta
        assert made.meta.options == {"flip": True, "precision": "fp32"}
        assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(DataError, match=r"not one of 2 images could be read, first: .*3.png: not"):
        extractor.embed_images(faces.select(np.array([3, 9])), workers=workers)
    with pytest.raises(DataError, match=r"no data .*nowhere"):
        extractor.embed_images("nowhere")


class Killed(BaseException):
    pass


def killed_at(batch: int, monkeypatch: pytest.MonkeyPatch, extractor: Extractor, **arguments):
    """Begin an extraction that ends abruptly when its batch number `batch` is computed."""
    done = 0

    def forward(self: Extractor, images: torch.Tensor) -> torch.Tensor:
        nonlocal done
        if done == batch:
            raise Killed
        done += 1
        return original(self, images)

    original = Extractor._forward
    with monkeypatch.context() as patch:
        patch.setattr(Extractor, "_forward", forward)
        with pytest.raises(Killed):
            extractor.extract(**arguments)


def test_an_interrupted_extraction_goes_on(
    run: Path, faces: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    extractor = load_model(run, batch_size=2)
    extractor.extract(faces, tmp_path / "whole", workers=0)
    killed_at(3, monkeypatch, extractor, manifest=faces, out=tmp_path / "out", workers=0)
    assert not (tmp_path / "out").exists()
    begun = []
    original = Extractor._forward
    monkeypatch.setattr(
        Extractor, "_forward", lambda self, x: begun.append(len(x)) or original(self, x)
    )
    extractor.extract(faces, tmp_path / "out", workers=0)
    assert begun == [2, 2, 1]  # of five batches, the first two were safe
    assert "resuming with 4 of 10 rows" in capsys.readouterr().err
    for name in ("vectors.npy", "rows.parquet", "meta.json", "trained_on.parquet"):
        whole, resumed = ((tmp_path / d / name).read_bytes() for d in ("whole", "out"))
        assert whole == resumed, name


def stored(kind: str, root: Path, pixels: np.ndarray) -> list[str]:
    """Write images in files, in an array or in a tar file, and return their paths."""
    if kind == "npy":
        np.save(root / "all.npy", pixels)
        return [f"all.npy#{row}" for row in range(len(pixels))]
    encoded = [cv2.imencode(".bmp", image)[1].tobytes() for image in pixels]
    if kind == "files":
        for row, content in enumerate(encoded):
            if not (path := root / f"{row}.bmp").exists() or path.read_bytes() != content:
                path.write_bytes(content)
        return [f"{row}.bmp" for row in range(len(pixels))]
    paths = []
    with tarfile.open(root / "all.tar", "w") as tar:
        for row, content in enumerate(encoded):
            member = tarfile.TarInfo(f"{row}.bmp")
            member.size = len(content)
            paths.append(address_of("all.tar", tar.offset + BLOCK, len(content)))
            tar.addfile(member, io.BytesIO(content))
    return paths


@pytest.mark.parametrize(("kind", "changed"), [("files", 1), ("npy", 4), ("tar", 4)])
def test_what_changed_meanwhile_is_embedded_again(
    kind: str, changed: int, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    """Killed, an image is replaced by one of the same size, and the same command goes on."""
    draw = np.random.default_rng(5)
    pixels = draw.integers(0, 256, (10, 24, 32, 3), dtype=np.uint8)
    frame = pd.DataFrame({"path": stored(kind, tmp_path, pixels), "identity": "x"})
    faces = Manifest.from_frame(frame, tmp_path, "d")
    extractor = load_model(run, batch_size=2)
    killed_at(3, monkeypatch, extractor, manifest=faces, out=tmp_path / "out", workers=0)
    time.sleep(0.01)
    pixels[1] = draw.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    stored(kind, tmp_path, pixels)
    close_files()
    made = extractor.extract(faces, tmp_path / "out", workers=0)
    told = capsys.readouterr().err
    assert f"{changed} image files have changed since they were embedded" in told
    assert ("resuming with 2 of 10 rows" in told) == (kind == "files")
    given = [faces.locate(row) for row in range(10)]
    np.testing.assert_allclose(made.vectors, extractor.embed(given), atol=1e-6)


def test_a_finished_set_that_was_not_put_into_place_looks_at_its_files(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    for row in range(4):
        noise = np.random.default_rng(row).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f"{row}.png"), noise)
    frame = pd.DataFrame({"path": [f"{row}.png" for row in range(4)], "identity": "x"})
    faces = Manifest.from_frame(frame, tmp_path, "d")
    extractor = load_model(run, batch_size=2)
    with monkeypatch.context() as patch:
        patch.setattr(EmbeddingWriter, "finish", lambda _: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            extractor.extract(faces, tmp_path / "out", workers=0)
    shutil.copy(tmp_path / "0.png", tmp_path / "3.png")
    made = extractor.extract(faces, tmp_path / "out", workers=0)
    assert "1 image files have changed since they were embedded" in capsys.readouterr().err
    np.testing.assert_allclose(made.vectors[3], made.vectors[0], atol=1e-6)


def test_embeddings_are_their_owners_only(run: Path, faces: Manifest, tmp_path: Path):
    made = load_model(run).extract(faces, tmp_path / "out", workers=0)
    made.save(tmp_path / "copy")
    for folder in (tmp_path / "out", tmp_path / "copy"):
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize(
    "change", ["rows", "flip", "batch size", "strictness", "device", "package"]
)
def test_leftovers_of_something_else_are_not_used(
    change: str, run: Path, faces: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    out = tmp_path / "out"
    readable = faces.select(np.array(READABLE))
    extractor = load_model(run, batch_size=2, device="cpu")
    with monkeypatch.context() as before:
        if change == "device":  # it is killed before there is anything to compute on this one
            before.setattr(extractor, "device", torch.device("cuda"))
        elif change == "package":
            before.setattr(torch, "__version__", "2.0")
        batch = 0 if change == "device" else 3
        killed_at(batch, monkeypatch, extractor, manifest=readable, out=out, workers=0)
    manifest, on_error = readable, "skip"
    if change == "rows":
        manifest = readable.select(np.array([1, 0, 2, 3, 4]))
    elif change == "strictness":
        on_error = "raise"
    elif change == "flip":
        extractor = load_model(run, batch_size=2, flip=True)
    elif change == "batch size":
        extractor = load_model(run, batch_size=3)
    made = extractor.extract(manifest, out, workers=0, on_error=on_error)
    assert "starting from the beginning" in capsys.readouterr().err
    given = [manifest.locate(i) for i in range(len(manifest))]
    np.testing.assert_allclose(made.vectors, extractor.embed(given), atol=1e-6)


def test_a_finished_set_is_not_replaced_unasked(run: Path, faces: Manifest, tmp_path: Path):
    extractor = load_model(run)
    extractor.extract(faces, tmp_path / "out", workers=0)
    some = faces.select(np.array([0, 1]))
    with pytest.raises(DataError, match=r"already contains an embedding set: choose another"):
        extractor.extract(some, tmp_path / "out", workers=0)
    assert len(extractor.extract(some, tmp_path / "out", workers=0, overwrite=True)) == 2


def test_strict_ends_at_the_first_unreadable_image(run: Path, faces: Manifest, tmp_path: Path):
    with pytest.raises(ImageError, match=r"3.png: not an image"):
        load_model(run).extract(faces, tmp_path / "out", workers=0, on_error="raise")
    assert not (tmp_path / "out").exists()


def test_nothing_readable_is_an_error(run: Path, faces: Manifest, tmp_path: Path):
    broken = faces.select(np.array([3, 9]))
    with pytest.raises(DataError) as error:
        load_model(run, batch_size=1).extract(broken, tmp_path / "out", workers=0)
    assert str(error.value) == (
        f"not one of 2 images could be read, first: {faces.locate(3)}: "
        "not an image of a known format"
    )
    assert list(tmp_path.iterdir()) == []


def test_nothing_readable_is_an_error_after_a_resume_too(
    run: Path, faces: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    broken = faces.select(np.array([3, 9]))
    write = EmbeddingWriter.write

    def once(writer: EmbeddingWriter, *block: object) -> None:
        if writer.done:
            raise KeyboardInterrupt
        write(writer, *block)  # type: ignore[arg-type]

    with monkeypatch.context() as changed:
        changed.setattr(EmbeddingWriter, "write", once)
        with pytest.raises(KeyboardInterrupt):
            load_model(run, batch_size=1).extract(broken, tmp_path / "out", workers=0)
    with pytest.raises(DataError, match=r"^not one of 2 images could be read, first: .*not an im"):
        load_model(run, batch_size=1).extract(broken, tmp_path / "out", workers=0)
    assert list(tmp_path.iterdir()) == []


def test_images_may_be_given_in_any_way(run: Path, faces: Manifest):
    path = faces.locate(0)
    extractor = load_model(run)
    expected = extractor.embed(path)
    grey = cv2.cvtColor(decode(path), cv2.COLOR_RGB2GRAY)
    for given in (Path(path), Path(path).read_bytes(), Image.open(path), decode(path)):
        np.testing.assert_array_equal(extractor.embed(given), expected)
        mixed, alike = extractor.embed([given, path]), extractor.embed([path, path])
        np.testing.assert_array_equal(mixed, alike)
    threefold = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(extractor.embed(grey), extractor.embed(threefold))


def test_the_fingerprint_tells_models_and_options_apart(run: Path):
    model = load_embedder(run)[1].fingerprint
    made = [
        load_model(run, flip=flip, precision=precision).fingerprint
        for flip in (False, True)
        for precision in ("fp32", "bf16")
    ]
    assert len({model, *made}) == 5
    assert made[3] == extraction_fingerprint(model, flip=True, precision="bf16")
    assert load_model(run, batch_size=7).fingerprint == made[0]
    assert extraction_fingerprint("other") != made[0]


def test_bf16_is_near_and_not_equal(run: Path, faces: Manifest):
    exact = load_model(run).embed(paths(faces))
    half = load_model(run, precision="bf16").embed(paths(faces))
    assert half.dtype == np.float32
    assert 1e-3 < np.abs(exact - half).max() < 0.1


def test_a_low_precision_of_training_changes_nothing(run: Path, faces: Manifest):
    extractor = load_model(run)
    exact = extractor.embed(paths(faces))
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        np.testing.assert_array_equal(extractor.embed(paths(faces)), exact)
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp8"}, "precision is 'fp8' (allowed: fp32, bf16)"),
        ({"batch_size": 0}, "batch size 0: it must be 1 or larger"),
        ({"device": "tpu"}, "unknown device 'tpu' (allowed: auto, cpu, cuda, cuda:N)"),
    ],
)
def test_wrong_options(options: dict, message: str, run: Path):
    with pytest.raises(ConfigError) as error:
        load_model(run, **options)
    assert str(error.value) == message
