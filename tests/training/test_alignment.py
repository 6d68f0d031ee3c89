"""A model that is trained on aligned crops aligns photos the same way afterwards."""

from collections.abc import Callable
from pathlib import Path

import pytest

from facever.config import load
from facever.data.readers import read
from facever.errors import ConfigError, DataError
from facever.models.loading import load_model
from facever.training.config import TrainConfig
from facever.training.train import train

MakeConfig = Callable[..., TrainConfig]


@pytest.fixture
def aligned(people: Path, tmp_path: Path) -> Path:
    table = tmp_path / "aligned.csv"
    read(people).assign(alignment="arcface-112").save(table)
    return table


def one_epoch(make_config: MakeConfig, root: Path, **model: object) -> TrainConfig:
    config = make_config(epochs=1, schedule={"warmup_epochs": 0})
    changed = {
        **config.model_dump(mode="json"),
        "data": {"root": str(root), "development_share": 0.3},
    }
    changed["model"] = {**changed["model"], **model}
    return TrainConfig.model_validate(changed)


def test_the_model_carries_the_alignment_of_its_data(
    make_config: MakeConfig, aligned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(one_epoch(make_config, aligned), tmp_path / "run")
    assert "aligned by arcface-112" in capsys.readouterr().err
    assert load(TrainConfig, tmp_path / "run" / "config.yaml").model.alignment == "arcface-112"
    model = load_model(run)
    assert model.alignment == "arcface-112"
    again = train(one_epoch(make_config, aligned), resume=tmp_path / "run")  # the same, said again
    assert load_model(again).fingerprint == model.fingerprint


def test_a_model_of_other_data_has_none(
    make_config: MakeConfig, people: Path, aligned: Path, tmp_path: Path
) -> None:
    plain = load_model(train(one_epoch(make_config, people), tmp_path / "plain"))
    assert plain.alignment == "none"
    said = train(one_epoch(make_config, people, alignment="arcface-112"), tmp_path / "said")
    assert load_model(said).alignment == "arcface-112"
    assert load_model(said).fingerprint != plain.fingerprint


def test_alignments_that_cannot_be(make_config: MakeConfig, people: Path, tmp_path: Path) -> None:
    names = ["arcface-112"] * 25 + [None] * 25
    read(people).assign(alignment=names).save(tmp_path / "mixed.csv")
    with pytest.raises(DataError, match=r"arcface-112, none.*facever data align"):
        train(one_epoch(make_config, tmp_path / "mixed.csv"), tmp_path / "run")
    read(people).assign(alignment="other").save(tmp_path / "other.csv")
    with pytest.raises(ConfigError, match=r"alignment.*other"):
        train(one_epoch(make_config, tmp_path / "other.csv"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_aligned_crops_are_not_stretched(
    make_config: MakeConfig, aligned: Path, tmp_path: Path
) -> None:
    config = one_epoch(make_config, aligned, preprocessing={"size": [64, 32]})
    with pytest.raises(ConfigError, match=r"preprocessing.size is 64 x 32.*32 x 32 pixels"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    train(one_epoch(make_config, aligned, preprocessing={"size": [24, 24]}), tmp_path / "run")
