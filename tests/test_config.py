"""Configuration: what is allowed comes back typed, what is not is named."""

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
