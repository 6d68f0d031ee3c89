"""Configuration: what is allowed comes back typed, what is not is named."""

import math
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from facever.config import Config, dump, load, parse
from facever.errors import ConfigError


class Cosine(Config):
    name: Literal["cosine"] = "cosine"
    scale: float | None = None


class Margin(Config):
    name: Literal["cosface"] = "cosface"
    margin: float = Field(0.35, ge=0, le=1)


class Net(Config):
    backbone: str = "resnet10t"
    size: tuple[int, int] = (64, 64)


class Whole(Config):
    net: Net = Net()
    heads: list[Annotated[Cosine | Margin, Field(discriminator="name")]] = Field([Margin()])
    epochs: int = Field(3, ge=1)


def written(path: Path, text: str) -> Path:
    file = path / "c.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_load_with_overrides_and_back(tmp_path: Path) -> None:
    file = written(
        tmp_path, "net: {backbone: resnet18}\nheads: [{name: cosine}, {name: cosface}]\n"
    )
    got = load(Whole, file, ["net.size=[32, 48]", "heads.1.margin=0.5", "epochs=7"])
    assert got.net == Net(backbone="resnet18", size=(32, 48))
    assert got.heads == [Cosine(), Margin(margin=0.5)]
    assert got.epochs == 7
    dump(got, tmp_path / "again.yaml")
    assert load(Whole, tmp_path / "again.yaml") == got


def test_an_override_makes_the_mappings_on_its_way(tmp_path: Path) -> None:
    assert load(Whole, written(tmp_path, ""), ["net.backbone=x"]).net.backbone == "x"
    assert load(Whole, written(tmp_path, "net:\n"), ["net.backbone=x"]).net.backbone == "x"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"net": {"bakbone": "x"}},
            "unknown key 'net.bakbone'; did you mean 'backbone'? (allowed: backbone, size)",
        ),
        (
            {"heads": [{"name": "cosface", "margn": 1}]},
            "unknown key 'heads.0.margn'; did you mean 'margin'? (allowed: margin, name)",
        ),
        (
            {"heads": [{"name": "cosfac"}]},
            "unknown heads.0.name 'cosfac'; did you mean 'cosface'? (allowed: cosine, cosface)",
        ),
        ({"heads": [{"scale": 3}]}, "'heads.0' needs a 'name'"),
        ({"epochs": 0}, "'epochs' is 0: Input should be greater than or equal to 1"),
        ({"epochs": "many"}, "'epochs' is 'many': Input should be a valid integer"),
        ({"net": 3}, "'net' is 3"),
        ({"heads": [{"name": "cosface", "margin": 2}]}, "'heads.0.margin' is 2"),
    ],
)
def test_what_is_not_allowed_is_named(values: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(Whole, values, where="x.yaml")
    assert f"x.yaml: {message}" in str(error.value)
    assert "\n" not in str(error.value)


def test_further_mistakes_are_counted() -> None:
    with pytest.raises(ConfigError, match=r"\(and 1 more\)$"):
        parse(Whole, {"epochs": 0, "nte": {}})


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("a: [", [], "is not YAML"),
        ("- 1", [], "must hold 'key: value' lines, not a list"),
        ("", ["epochs"], "'epochs' is not an override of the form key=value"),
        ("", ["=3"], "'=3' is not an override"),
        ("", ["epochs=["], "the value of 'epochs=[' is not YAML"),
        ("heads: [{name: cosine}]", ["heads.3.scale=1"], "3 is not an index into a list of 1"),
        ("epochs: 3", ["epochs.more=1"], "'epochs' holds a value, not a mapping"),
    ],
)
def test_bad_files_and_overrides(
    tmp_path: Path, text: str, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        load(Whole, written(tmp_path, text), overrides)
    assert message in str(error.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no configuration file at"):
        load(Whole, tmp_path / "none.yaml")


class Moving(Config):
    start: float
    end: float = Field(gt=0)


class Strict(Config):
    size: tuple[int, int] = (1, 2)
    weight: Annotated[float, Field(gt=0)] | Moving = 1.0
    scale: Annotated[float, Field(gt=0)] | Literal["learned"] = "learned"
    flag: bool = False
    count: int = 1
    options: dict[str, bool | int | str] = Field({})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": "1"}, "'count' is '1': Input should be a valid integer"),
        ({"count": True}, "'count' is True: Input should be a valid integer"),
        ({"count": 2.0}, "'count' is 2.0: Input should be a valid integer"),
        ({"flag": 1}, "'flag' is 1: Input should be a valid boolean"),
        ({"weight": "3"}, "'weight' is '3': Input should be a valid number"),
        ({"weight": -1}, "'weight' is -1: Input should be greater than 0"),
        ({"weight": {"start": 1, "end": 0}}, "'weight.end' is 0: Input should be greater than 0"),
        ({"weight": {"start": 1}}, "'weight.end' is missing"),
        (
            {"weight": {"start": 1, "end": 1, "eend": 2}},
            "unknown key 'weight.eend'; did you mean 'end'? (allowed: end, start)",
        ),
        (
            {"scale": 0},
            "'scale' is 0: Input should be greater than 0, or Input should be 'learned'",
        ),
        (
            {"scale": "big"},
            "'scale' is 'big': Input should be a valid number, or Input should be 'learned'",
        ),
        (
            {"scale": math.inf},
            "'scale' is inf: Input should be a finite number, or Input should be 'learned'",
        ),
        ({"weight": math.nan}, "'weight' is nan: Input should be a finite number"),
        (
            {"options": {"a": None}},
            "'options.a' is None: Input should be a valid boolean, or Input should be a valid "
            "integer, or Input should be a valid string",
        ),
        ({"size": [1, "2"]}, "'size.1' is '2': Input should be a valid integer"),
    ],
)
def test_types_are_strict_and_each_place_is_named_once(values: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(Strict, values, where="x.yaml")
    assert str(error.value) == f"x.yaml: {message}"


def test_lists_stand_for_tuples_and_whole_numbers_for_floats() -> None:
    got = parse(Strict, {"size": [3, 4], "weight": 2})
    assert got == Strict(size=(3, 4), weight=2.0)
    assert parse(Strict, got.model_dump(mode="json")) == got


@pytest.mark.parametrize("number", ["1e-3", "1E-3", "+1e-3", "1.0e-3", "0.001", ".001"])
def test_numbers_are_numbers(tmp_path: Path, number: str) -> None:
    file = written(tmp_path, f"weight: {number}\n")
    assert load(Strict, file).weight == 0.001
    assert load(Strict, file, [f"weight={number}"]).weight == 0.001


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, "count: 3\nweight: {start: 1, end: 2}\ncount: 4\n")
    with pytest.raises(ConfigError) as error:
        load(Strict, file)
    assert str(error.value) == f"{file}, line 3: key 'count' is given twice"
    with pytest.raises(ConfigError, match=r"^'weight=\{end: 2, end: 3\}', line 1: key 'end' is"):
        load(Strict, written(tmp_path, ""), ["weight={end: 2, end: 3}"])
    merged = (
        "weight: &w {start: 1, end: 2}\noptions: {<<: {a: 1}, a: 2}\n"  # a merge may be changed
    )
    assert load(Strict, written(tmp_path, merged)).options == {"a": 2}
