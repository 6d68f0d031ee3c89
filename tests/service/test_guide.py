"""docs/service.md: a curl command for each route, each of them a route; and the limits."""

import re
from pathlib import Path

from facever.service.app import openapi_document
from facever.service.limits import Limits

GUIDE = (Path(__file__).parents[2] / "docs" / "service.md").read_text()


def asked(line: str) -> tuple[str, str]:
    """The method and the path of a curl command."""
    path = re.search(r"localhost:8000(/[^\s'?]*)", line)[1]
    method = re.search(r"-X (\w+)", line)
    sends = re.search(r" (-F|-d) ", line)
    return (method[1] if method else "POST" if sends else "GET"), path


def route_of(method: str, path: str, routes: set[tuple[str, str]]) -> tuple[str, str] | None:
    for kind, route in routes:
        if kind == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route), path):
            return kind, route
    return None


def test_every_route_has_a_command():
    routes = {
        (method.upper(), path)
        for path, methods in openapi_document()["paths"].items()
        for method in methods
    }
    lines = [line for line in GUIDE.splitlines() if line.startswith("curl ")]
    found = [route_of(*asked(line), routes) for line in lines]
    assert None not in found, lines[found.index(None)]
    assert set(found) == routes


def test_every_limit_is_in_the_table():
    table = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", GUIDE, re.MULTILINE))
    assert {name: float(value) for name, value in table.items()} == Limits().model_dump()


def test_every_status_is_explained():
    document = openapi_document()
    statuses = {
        status
        for methods in document["paths"].values()
        for said in methods.values()
        for status in said["responses"]
        if status >= "4"
    }
    for status in statuses:
        assert re.search(rf"\| [^|]*{status}[^|]* \|", GUIDE), status
