"""The page of every configuration key: type, range, default and meaning, from the models."""

import json
from collections.abc import Iterator, Sequence

from facever.core.parameters import Parameter, parameters_of
from facever.heads.catalogue import HeadCard, catalogue
from facever.service.limits import Limits
from facever.training.config import TrainConfig
from tools.docs.docstrings import attributes_of
from tools.docs.markdown import code, escaped, table

_HEAD = """# Configuration keys

The configuration of a training is a YAML file: a recipe (`facever recipes`) or your own. Each key
can be changed on the command line (`facever train RECIPE optimizer.lr=0.1`) and in Python
(`facever.train(RECIPE, optimizer={"lr": 0.1})`). An unknown key is an error that names the
nearest one. `facever config` prints a file with every key, `facever config optimizer.lr`
explains one.
"""
_HEADS = """## Heads

`heads` is a list; the losses of its heads are summed. Each item has `name` and the keys of that
head. [Heads](../heads.md) says when to use which.
"""
_LIMITS = """## Limits of the service

`facever serve --limit NAME=NUMBER`, described in [The service](../service.md#limits).
"""


def page() -> str:
    """Return the page in Markdown."""
    top = parameters_of(TrainConfig.model_json_schema())
    lines = [_HEAD, "## Top level", "", *_table([one for one in top if not one.inside])]
    for one in top:
        if one.inside:
            lines += [f"## {one.name}", "", f"{escaped(one.description)}.", ""]
            lines += _table(list(_all_in(one.inside, f"{one.name}.")))
    cards = catalogue()
    lines += [_HEADS, "### Every head", "", *_table(list(_all_in(cards[0].common)))]
    for card in cards:
        lines += _head(card)
    said = attributes_of(Limits)
    limits = parameters_of(Limits.model_json_schema())
    rows = [(code(one.name), escaped(one.takes), _value(one), said[one.name]) for one in limits]
    return "\n".join([*lines, _LIMITS, *table(("limit", "takes", "default", "meaning"), rows)])


def _head(card: HeadCard) -> list[str]:
    lines = [f"### {card.name}", "", escaped(card.summary), ""]
    lines += [
        f"Paper: {escaped(card.paper)}. Compare by: {card.metric}. Batch: {card.sampling}.",
        "",
    ]
    return lines + _table(list(_all_in(card.parameters)))


def _all_in(parameters: Sequence[Parameter], above: str = "") -> Iterator[Parameter]:
    """Return parameters, and those inside of them, with dotted names."""
    for one in parameters:
        yield Parameter(f"{above}{one.name}", one.required, one.default, one.takes, one.description)
        yield from _all_in(one.inside, f"{above}{one.name}.")


def _table(parameters: Sequence[Parameter]) -> list[str]:
    rows = [
        (code(one.name), escaped(one.takes), _value(one), escaped(one.description))
        for one in parameters
    ]
    return table(("key", "takes", "default", "meaning"), rows)


def _value(parameter: Parameter) -> str:
    if parameter.required:
        return "required"
    is_mapping = isinstance(parameter.default, dict) and parameter.default
    return "" if is_mapping else code(json.dumps(parameter.default))
