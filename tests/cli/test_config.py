"""`facever config`: the printed configuration is one, and every key is explained."""

import json

import pytest
import yaml

from facever.config import parse
from facever.training.config import TrainConfig


def test_what_is_printed_are_the_defaults(facever) -> None:
    printed = yaml.safe_load(facever("config")[1])
    assert printed["data"]["root"] is None
    assert printed["heads"] is None
    printed["data"]["root"], printed["heads"] = "FACES", [{"name": "cosface"}]
    wanted = parse(TrainConfig, {"data": {"root": "FACES"}, "heads": [{"name": "cosface"}]})
    assert parse(TrainConfig, printed) == wanted


def test_every_key_has_a_meaning(facever) -> None:
    def keys(parameters, above=""):
        for one in parameters:
            yield above + one["name"], one
            yield from keys(one["inside"], f"{above}{one['name']}.")

    found = dict(keys(json.loads(facever("config", "--json")[1])))
    assert {"optimizer.lr", "augmentation.transforms.name", "model.local.pairing"} <= set(found)
    assert not [key for key, one in found.items() if not one["description"]]
    assert all(len(line) <= 100 for line in facever("config")[1].splitlines())


def test_one_key(facever) -> None:
    said = facever("config", "optimizer.lr")[1]
    assert said.startswith("optimizer.lr = 0.003")
    assert "above 0" in said
    assert json.loads(facever("config", "schedule.power", "--json")[1])["default"] == 1.0


@pytest.mark.parametrize("key", ["optimizer.lrr", "optimiser", "optimizer.lr.x", "data..root"])
def test_an_unknown_key_is_one_line(facever, key: str) -> None:
    status, _, said = facever("config", key)
    assert status == 2
    assert said.count("\n") == 1
    assert "unknown key" in said


def test_the_last_part_of_a_key(facever) -> None:
    status, _, said = facever("config", "lr")
    assert status == 2
    assert "did you mean optimizer.lr" in said


def test_a_key_almost_of_the_top_level(facever) -> None:
    assert "did you mean epochs or batch.epoch?" in facever("config", "epoch")[2]


def test_keys_of_heads_are_explained_elsewhere(facever) -> None:
    _, _, said = facever("config", "heads.0.margin")
    assert "unknown key 'heads.0.margin'; heads has no keys below it" in said
    assert "facever heads" in said
