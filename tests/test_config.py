"""Configuration: what is allowed comes back typed, what is not is named."""

import itertools
import math
import os
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from facever.config import Config, dump, load, parse, read_yaml
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


class Extra(Config):
    flip: float = 0.5


class Whole(Config):
    net: Net = Net()
    extra: Extra | None = None
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
        (
            {"extra": {"flipp": 1}},  # a mapping or null: the key inside is what is unknown
            "unknown key 'extra.flipp'; did you mean 'flip'? (allowed: flip)",
        ),
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
        ("- 1", [], "must contain 'key: value' lines, not a list"),
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


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epoch=3", "override: unknown key 'epoch'; did you mean 'epochs'?"),
        ("net.bakbone=x", "override: unknown key 'net.bakbone'"),
        ("net={size: [32]}", "override: "),
        ("epochs=2", "c.yaml: 'heads.0.margin'"),
    ],
)
def test_where_a_wrong_key_comes_from(tmp_path: Path, override: str, message: str) -> None:
    file = written(tmp_path, "heads: [{name: cosface, margin: wide}]\n")
    if not override.startswith("epochs"):
        file = written(tmp_path, "net: {backbone: resnet18}\n")
    with pytest.raises(ConfigError) as error:
        load(Whole, file, [override])
    assert message in str(error.value)
    assert str(file) in str(error.value) or message.startswith("override")


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
    with pytest.raises(ConfigError, match=r"'weight=\{end: 2, end: 3\}', line 1: key 'end' is"):
        load(Strict, written(tmp_path, ""), ["weight={end: 2, end: 3}"])
    merged = (
        "weight: &w {start: 1, end: 2}\noptions: {<<: {a: 1}, a: 2}\n"  # a merge may be changed
    )
    assert load(Strict, written(tmp_path, merged)).options == {"a": 2}


def doubled(levels: int, line: str = "{name}: &{name} [*{before}, *{before}]\n") -> str:
    """A text whose size doubles on each line, by aliases."""
    names = [f"a{number}" for number in range(levels)]
    lines = [line.format(name=name, before=before) for before, name in itertools.pairwise(names)]
    return "a0: &a0 {x: 1}\n" + "".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (doubled(20), "line 16: more than 100,000 values"),
        (doubled(20, "{name}: &{name} {{<<: [*{before}, *{before}]}}\n"), "more than 100,000"),
        ("a: &a [*a]", "line 1: *a is a part of itself"),
        ("a: " + "[" * 100_000, "line 1: nested more than 64 deep"),
        ("a: " + "{b: " * 70 + "1" + "}" * 70, "nested more than 64 deep"),
        ("a: " + "9" * 5_000, "line 1: the integer 999999999999999999999999... is beyond 64 bits"),
        ("a:\n  b: 99999999999999999999", "line 2: the integer 99999999999999999999... is beyond"),
        ("a: -9223372036854775809", "is beyond 64 bits"),
        ("a: 0x1ffffffffffffffff", "is beyond 64 bits"),
        ("a: 2020-99-99", "line 1: '2020-99-99' cannot be read as timestamp"),
        ("a: !!int x", "'x' cannot be read as int"),
        ("a: !!bool x", "'x' cannot be read as bool"),
        ("a: !!timestamp x", "'x' cannot be read as timestamp"),
        ("a: !!set [b]", "is not YAML"),
        ("a: !!int ''", "cannot be read as int"),
        ("a: !!python/object:os.system x", "is not YAML"),
        ("? [1]\n: 2", "is not YAML"),
        ("a: \x00", "is not YAML"),
    ],
)
def test_yaml_from_anywhere_is_bounded(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_yaml(text, "x.yaml")
    assert str(error.value).startswith("x.yaml")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        load(Whole, file)
    assert str(file) in str(error.value)
    if "\n" not in text and len(text) < 9_000:
        with pytest.raises(ConfigError):
            load(Whole, written(tmp_path, ""), [f"epochs={text.removeprefix('a: ')}"])


def test_yaml_within_the_bounds_is_read() -> None:
    deep = "[" * 62 + "]" * 62
    assert len(read_yaml(doubled(14), "x")) == 14
    assert read_yaml(f"a: {deep}", "x") == {"a": eval(deep)}
    assert read_yaml("[18446744073709551615, -9223372036854775808, 0x10, 1_000]", "x") == [
        2**64 - 1,
        -(2**63),
        16,
        1000,
    ]


@pytest.mark.parametrize("kind", ["fifo", "device", "folder"])
def test_only_regular_files_are_configurations(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "c.yaml"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        load(Whole, path)


def test_a_file_that_is_far_too_large_or_no_text(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    for content in (b"#" * (2**22 + 1), b"epochs: \xff"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"c\.yaml is not YAML"):
            load(Whole, path)


@pytest.mark.parametrize("key", ["heads." + "9" * 5_000, "heads.\N{SUPERSCRIPT TWO}", "a." * 999])
def test_keys_of_overrides_are_bounded(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=r"is not an index|nested more than 64 deep"):
        load(Whole, written(tmp_path, "heads: [{name: cosine}]"), [f"{key}=1"])
