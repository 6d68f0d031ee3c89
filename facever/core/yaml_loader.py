"""The loader of YAML texts from any source: limits, numbers as in YAML 1.2, no duplicate keys."""

import re
from typing import Any

import yaml

_MOST_DEPTH = 64
_MOST_VALUES = 100_000
"""Maximum number of values in a YAML text, with aliases and merges resolved."""
_INTEGERS = range(-(2**63), 2**64)


class RefusedYaml(Exception):  # noqa: N818 - becomes a ConfigError that names the file
    """What a limit refuses, with its line."""

    def __init__(self, mark: Any, reason: str) -> None:
        super().__init__(f"line {mark.line + 1}: {reason}")


class YamlLoader(yaml.SafeLoader):
    """YAML loader with limits on size, depth and integers, and without duplicate keys."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[yaml.Node, int] = {}  # sizes of finished nodes, aliases resolved

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Limit the depth and the number of values; refuse an alias inside itself."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise RefusedYaml(event.start_mark, f"nested more than {_MOST_DEPTH} deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(event, yaml.AliasEvent) and node not in self._sizes:
            raise RefusedYaml(event.start_mark, f"*{event.anchor} is a part of itself")
        if node is not None and node not in self._sizes:
            self._sizes[node] = 1 + sum(self._sizes[part] for part in _parts(node))
            if self._sizes[node] > _MOST_VALUES:
                said = f"more than {_MOST_VALUES:,} values, aliases resolved"
                raise RefusedYaml(event.start_mark, said)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Report the line of a value that does not fit its tag, such as the date 2020-99-99."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
            reason = f"cannot be read as {node.tag.rpartition(':')[2]}"
            raise RefusedYaml(node.start_mark, f"'{str(node.value)[:40]}' {reason}") from error

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Limit integers before their digits are converted."""
        value = int(super().construct_yaml_int(node)) if len(node.value) <= 80 else 2**64
        if value not in _INTEGERS:
            raise RefusedYaml(
                node.start_mark, f"the integer {node.value[:24]}... is beyond 64 bits"
            )
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a duplicate key; merged keys may be overridden."""
        seen: set[Any] = set()
        for key_node in _parts(node)[::2] if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key_node, yaml.ScalarNode) and key_node.tag != "tag:yaml.org,2002:merge":
                if key_node.value in seen:
                    raise RefusedYaml(key_node.start_mark, f"key '{key_node.value}' is given twice")
                seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def _parts(node: yaml.Node) -> list[yaml.Node]:
    """Return the child nodes of a node."""
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


YamlLoader.add_constructor("tag:yaml.org,2002:int", YamlLoader.construct_yaml_int)
YamlLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)
