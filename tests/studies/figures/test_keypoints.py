from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facever.config import parse
from facever.data.decode import ImageError, decode
from facever.errors import ConfigError, DataError, ModelError
from facever.models import Embedder, ModelConfig, load_embedder, save_embedder
from facever.studies.figures.keypoints import Keypoints, keypoints_of

MODEL = {
    "backbone": "test_resnet",
    "embedding_size": 8,
    "preprocessing": {"size": [64, 32], "color": "bgr"},
}


def saved(path: Path, **values: object) -> Path:
    torch.manual_seed(0)
    save_embedder(Embedder(parse(ModelConfig, {**MODEL, **values})), path, metric="cosine")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    return saved(path, local={"stages": [2, 4], "keypoints": 3})


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("people")
    random = np.random.default_rng(0)
    for identity in range(3):
        (root / f"p{identity}").mkdir()
        for shot in range(2):
            image = random.integers(0, 255, (40, 20, 3)).astype(np.uint8)
            cv2.imwrite(str(root / f"p{identity}" / f"{shot}.png"), image)
    return root


def test_attention_is_the_models_own(model: Path, people: Path) -> None:
    paths = [str(people / "p1" / "0.png"), str(people / "p0" / "1.png")]
    found = keypoints_of(model, paths)
    assert found.paths == paths
    assert keypoints_of(model, paths, count=1).paths == paths[:1]
    embedder, _ = load_embedder(model)
    ready = [embedder.preprocessing.apply(decode(path)) for path in paths]
    with torch.no_grad():
        wanted = embedder.attention(torch.from_numpy(np.stack(ready)).permute(0, 3, 1, 2))
    assert list(found.attention) == [2, 4]
    assert found.attention[2].shape == (2, 3, 8, 4)
    for stage, maps in wanted.items():
        np.testing.assert_allclose(found.attention[stage], maps, rtol=1e-4)
    shown = found.images[0]  # in true colours, at the model's size
    assert np.array_equal(shown, embedder.preprocessing.resize(decode(paths[0])))


def test_of_a_data_set_one_image_of_each_of_the_first_people(model: Path, people: Path) -> None:
    found = keypoints_of(model, [str(people)], count=2)
    assert [Path(path).parts[-2:] for path in found.paths] == [("p0", "0.png"), ("p1", "0.png")]
    assert len(keypoints_of(model, [str(people)], count=9).paths) == 3


def test_figures_are_closed_forms() -> None:
    maps = np.zeros((2, 2, 4, 2), np.float32)
    maps[:, 0] = 1 / 8  # everywhere alike
    maps[0, 1, 0, 1] = 1.0  # one place: top right
    maps[1, 1, 2, 1] = maps[1, 1, 2, 0] = 0.5  # the third row
    found = Keypoints(["a.png", "b.png"], [np.zeros((8, 4, 3), np.uint8)] * 2, {3: maps})
    everywhere, somewhere = found.keypoints
    assert everywhere == pytest.approx(
        {"stage": 3, "keypoint": 1, "spread": 1.0, "row": 0.5, "column": 0.5}
    )
    assert somewhere == pytest.approx(
        {"stage": 3, "keypoint": 2, "spread": (1 / 8 + 2 / 8) / 2, "row": 0.375, "column": 0.625}
    )
    assert found.to_dict() == {"images": ["a.png", "b.png"], "keypoints": found.keypoints}
    assert found.to_text().splitlines()[-1].split() == ["3.2", "0.188", "0.375", "0.625"]


def test_what_cannot_be_looked_at(model: Path, people: Path, tmp_path: Path) -> None:
    image = str(people / "p0" / "0.png")
    with pytest.raises(DataError) as error:
        keypoints_of(model, [str(people), image])
    assert str(error.value) == "give either images, or one folder, table or data set"
    with pytest.raises(ConfigError) as wrong:
        keypoints_of(model, [image], count=0)
    assert str(wrong.value) == "--count 0: it must be 1 or more"
    with pytest.raises(ModelError, match=r"^this model has no keypoints: it was trained without"):
        keypoints_of(saved(tmp_path / "plain.safetensors"), [image])
    with pytest.raises(ImageError, match=r"none.png"):
        keypoints_of(model, [str(tmp_path / "none.png")])


def test_a_stage_with_many_keypoints_shows_those_of_the_smallest_spread() -> None:
    random = np.random.default_rng(0)
    maps = random.random((2, 40, 3, 3)).astype(np.float32)
    maps[:, [5, 17]] = np.eye(9, dtype=np.float32)[[2, 4]].reshape(2, 3, 3)  # one place each
    maps /= maps.sum((2, 3), keepdims=True)
    found = Keypoints(["a.png", "b.png"], [np.zeros((32, 32, 3), np.uint8)] * 2, {4: maps})
    [section] = found.describe()
    named = [row[0] for row in section.blocks[1].rows]
    assert len(named) == 16
    assert {"4.6", "4.18"} <= set(named)
    assert len(found.to_dict()["keypoints"]) == 40
