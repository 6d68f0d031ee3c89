"""The page of the REST service: every route with its fields and replies, from the service."""

from collections.abc import Iterator
from typing import Any

from facever.core.parameters import Parameter, parameters_of
from facever.service.app import openapi_document
from tools.docs.markdown import code, escaped, table

_HEAD = """# REST

The routes of `facever serve`, from its OpenAPI document ([openapi.json](../openapi.json); the
service has it at `/v1/openapi.json`). [The service](../service.md) has a command for each of
them, the roles of tokens, and the limits.
"""


def page() -> str:
    """Return the page in Markdown."""
    document = openapi_document()
    schemas = document["components"]["schemas"]
    lines = [_HEAD]
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            lines += _route(method.upper(), path, route, schemas)
    lines += ["## Objects", ""]
    for name, schema in sorted(schemas.items()):
        lines += [f"### {name}", "", escaped(schema.get("description", "")), ""]
        lines += _fields(schema, schemas)
    return "\n".join(lines)


def _route(method: str, path: str, route: dict[str, Any], schemas: dict[str, Any]) -> list[str]:
    lines = [f"## {method} {path}", "", escaped(route["summary"]), ""]
    lines += [escaped(route.get("description", "")), ""]
    rows = []
    for one in route.get("parameters", ()):
        place = {"properties": {one["name"]: one["schema"]}, "$defs": schemas}
        rows += [(code(one["name"]), one["in"], *_cells(parameters_of(place)[0])[1:])]
    lines += table(("parameter", "in", "takes", "meaning"), rows)
    body = route.get("requestBody", {}).get("content", {})
    if body:
        lines += [f"Body: {' or '.join(code(kind) for kind in body)}.", ""]
        lines += _fields(next(iter(body.values()))["schema"], schemas)
    answers, errors = [], []
    for status, said in sorted(route["responses"].items()):
        name = next(_references(said.get("content", {})), "")
        if status < "400":
            what = said["description"] if "Successful" not in said["description"] else "JSON"
            answers.append((status, _link(name) if name else escaped(what)))
        else:
            errors.append(status)
    lines += table(("status", "reply"), answers)
    if errors:
        lines += [f"Errors, each with a {_link('ProblemDocument')}: {', '.join(errors)}.", ""]
    return lines


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _references(value: Any) -> Iterator[str]:
    """Yield the names of the objects that a value refers to."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].rpartition("/")[2]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _fields(schema: dict[str, Any], schemas: dict[str, Any]) -> list[str]:
    if not schema.get("properties"):
        return []
    found = parameters_of({**schema, "$defs": schemas})
    objects = [next(_references(schema["properties"][one.name]), "") for one in found]
    rows = [_cells(one, name) for one, name in zip(found, objects, strict=True)]
    return table(("field", "takes", "meaning"), rows)


def _cells(one: Parameter, name: str = "") -> tuple[str, str, str]:
    """Return the cells of a field; `name` is that of an object in it."""
    takes = escaped(one.takes)
    if name:
        takes = takes.replace("a mapping of the keys below", _link(name))
    return code(one.name), takes + " (required)" * one.required, escaped(one.description)
