import json
from collections import namedtuple
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facever.config import Config
from facever.render.values import Record, json_value


class Ends(Config):
    low: float
    high: float


@dataclass(frozen=True)
class Point(Record):
    far: float
    ends: Ends | None = None

    json_keys = "fmr=far half few ends"

    @property
    def half(self) -> float:
        return self.far / 2

    @property
    def few(self) -> bool:
        return self.far < 0.1


@dataclass(frozen=True)
class Plain(Record):
    name: str
    points: list[Point]
    by_rank: dict[int, np.ndarray]
    path: Path = Path("a/b")
    pair: Any = field(default_factory=lambda: namedtuple("Pair", "a b")(1, (2, 3)))


@dataclass(frozen=True)
class Nested(Record):
    people: tuple[int, int]
    point: Point

    json_keys = "kind people.fitted=people.0 rate=point.far people.judged=people.1"
    kind = "nested"


def test_without_keys_the_fields_are_the_values_in_their_order() -> None:
    made = Plain("x", [Point(0.02, Ends(low=0, high=1))], {1: np.array([1.5, 2.5])}).to_dict()
    assert json.dumps(made) == (
        '{"name": "x", "points": [{"fmr": 0.02, "half": 0.01, "few": true, "ends": '
        '{"low": 0.0, "high": 1.0}}], "by_rank": {"1": [1.5, 2.5]}, "path": "a/b", '
        '"pair": {"a": 1, "b": [2, 3]}}'
    )


def test_keys_choose_rename_and_nest() -> None:
    made = Nested((6, 4), Point(0.5)).to_dict()
    assert json.dumps(made) == (
        '{"kind": "nested", "people": {"fitted": 6, "judged": 4}, "rate": 0.5}'
    )


def test_what_is_infinite_in_an_array_is_null() -> None:
    assert json_value(np.array([-np.inf, 0.5, np.nan])) == [None, 0.5, None]


def test_numpys_own_numbers_are_pythons() -> None:
    made = json_value([np.float64(0.5), np.int64(3), np.bool_(True), np.arange(2)])
    assert json.dumps(made) == "[0.5, 3, true, [0, 1]]"


def test_a_key_that_leads_nowhere_is_an_error() -> None:
    class Wrong(Point):
        json_keys = "nothing"

    with pytest.raises(AttributeError, match="nothing"):
        Wrong(0.1).to_dict()
