"""JSON is written whole, and foreign JSON cannot exhaust anything."""

import json
from pathlib import Path

import pytest

from facever.core.json_files import parse_json, read_json, write_json


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_foreign_json_says_what_it_says(tmp_path: Path) -> None:
    value = {"a": [1, -(2**63), 2**63 - 1, 0.5, None, True, "é", {}], "b": {"c": []}}
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(value).encode())
    assert read_json(tmp_path / "a.json") == value
    deep = "[" * 64 + "]" * 64
    assert json.dumps(parse_json(deep)) == deep
    assert parse_json("[" + "[]," * 500 + "[]]") == [[]] * 501


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "deep"),
        ("[" * 100_000 + "]" * 100_000, "deep"),
        ("[" * 66 + "]" * 66, "deep"),
        ('{"a":' * 66 + "1" + "}" * 66, "deep"),
        ("1" * 30, "64 bits"),
        ("9223372036854775808", "64 bits"),
        ("-" + "1" * 5000, "64 bits"),
        ("1e999", "too large"),
        ("NaN", "NaN"),
        ("[-Infinity]", "Infinity"),
        ("{", "Expecting"),
        (b"\xff\xfe", "decode"),
    ],
)
def test_foreign_json_that_cannot_be_used_is_a_value_error(text: str | bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_json(text)
