"""Parser for the heads of a bake-off, such as `rbf:scale=10,gamma=2` or `softmax+center`."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facever.config import load, read_yaml, read_yaml_file
from facever.errors import ConfigError
from facever.heads.registry import head_class
from facever.training.config import TrainConfig, import_plugins

Heads = list[dict[str, Any]]

_PARTS = re.compile(
    r"([^:=]+(?::[^:=]+(?=:|$))?)(?::([^:]*=.*|))?"
)  # pml:NAME is one name, not parameters


def read_contenders(words: Sequence[str]) -> dict[str, Heads]:
    """Return the heads of each contender by its label.

    Args:
        words: Each is the name of a head, such as "cosine", with parameters, such as
            "rbf:scale=10,gamma=2", or a sum of heads, such as "softmax+center:weight=0.008"; or a
            YAML file with a list of such words, of mappings {name: rbf, scale: 10}, or of lists of
            mappings (sums).

    Raises:
        ConfigError: A head is unknown, a word or file is invalid, or a contender is repeated.
    """
    found: list[tuple[str, Heads]] = []
    for word in words:
        if word.endswith((".yaml", ".yml")):
            found += [_of_item(item, word) for item in _read_list(Path(word))]
        else:
            found.append((word, _of_word(word)))
    contenders = dict(found)
    for label in contenders:
        if [name for name, _ in found].count(label) > 1:
            raise ConfigError(f"'{label}' is given twice: heads must differ")
    return contenders


def read_configs(
    path: str | Path, overrides: Sequence[str], words: Sequence[str]
) -> dict[str, TrainConfig]:
    """Return a training's configuration for each contender, by its label.

    The modules of its `imports` are imported first: words may name heads that they register.

    Args:
        path: The YAML file; its heads are replaced.
        overrides: Overrides "dotted.key=value".
        words: As for `read_contenders`.

    Raises:
        ConfigError: The errors of `read_contenders`; or a configuration is invalid, for example a
            head needs several images of each identity and the batches do not have them.
    """
    import_plugins(Path(path), overrides)
    return {
        label: load(
            TrainConfig, Path(path), [*overrides, f"heads={json.dumps(heads, default=str)}"]
        )
        for label, heads in read_contenders(words).items()
    }


def folder_name(label: str) -> str:
    """Return the folder name of a contender's label."""
    return re.sub(r"[^\w.+=-]+", "-", label).strip("-.")


def _read_list(path: Path) -> list[Any]:
    items = read_yaml_file(path, "list of heads")
    if not isinstance(items, list) or not items:
        raise ConfigError(f"{path} must hold a list of heads, such as '- rbf:scale=10'")
    return items


def _of_item(item: Any, where: str) -> tuple[str, Heads]:
    if isinstance(item, str):
        return item, _of_word(item)
    heads = item if isinstance(item, list) else [item]
    if not heads or not all(isinstance(head, Mapping) and "name" in head for head in heads):
        raise ConfigError(f"{where}: {item} is not a head: write rbf:scale=10 or {{name: rbf}}")
    for head in heads:
        head_class(str(head["name"]))
    return "+".join(map(_label, heads)), [dict(head) for head in heads]


def _of_word(word: str) -> Heads:
    return [_head(part) for part in word.split("+")]


def _head(word: str) -> dict[str, Any]:
    found = _PARTS.fullmatch(word)
    name = found[1] if found else word
    head_class(name)
    if found is None or found[2] is None:
        return {"name": name}
    try:
        values = read_yaml("{" + found[2].replace("=", ": ") + "}", f"'{word}'")
    except ConfigError:
        values = None
    if not isinstance(values, dict) or not values or None in values.values():
        raise ConfigError(
            f"'{word}' is not a head with parameters: write for example rbf:scale=10,gamma=2"
        )
    return {"name": name, **values}


def _label(head: Mapping[str, Any]) -> str:
    parameters = ",".join(f"{key}={value}" for key, value in head.items() if key != "name")
    return f"{head['name']}:{parameters}" if parameters else str(head["name"])
