"""`facever models list`, `show` and `get`: the catalogue of public models."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facever.cli.options import AsJson

if TYPE_CHECKING:
    from facever.catalogue import Entry

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A model's name from facever models list.")
]


def list_(as_json: AsJson = False) -> None:
    """List the public models of the catalogue, with their local files, and the models of
    plug-ins.
    """
    from facever import plugins
    from facever.catalogue import entries
    from facever.core.console import byte_count
    from facever.render.text import table

    if as_json:
        print(json.dumps([_described(one) for one in entries()]))
        return
    rows = [
        (one.name, one.task, byte_count(one.size), one.licence, "yes" if _place(one) else "no")
        for one in entries()
    ]
    print(table(["name", "task", "size", "licence", "here"], rows))
    for name in plugins.entry_names(plugins.MODELS):
        print(f"{name}: {plugins.describe_entry(plugins.MODELS, name)}")


def show(name: Name, as_json: AsJson = False) -> None:
    """Show all information about a public model."""
    from facever.catalogue import entry
    from facever.cli.gallery.shared import print_fields
    from facever.core.console import byte_count

    one = entry(name)
    if as_json:
        print(json.dumps(_described(one)))
        return
    fields: dict[str, object] = {
        "name": one.name,
        "what": one.title,
        "task": one.task,
        "licence": one.licence,
        "trained on": one.trained_on,
        "source": one.source,
    }
    if one.input:
        height, width = one.input["size"]
        fields["input"] = (
            f"{height} x {width} {one.input['color']}, mean {one.input['mean']}, "
            f"std {one.input['std']}, {one.input['layout']}"
        )
        fields["alignment"] = one.alignment
    if one.measured:
        fields["measured"] = one.measured
    for rate, point in one.operating_points.items():
        fields[f"at FMR {rate}"] = (
            f"score > {point['threshold']:.4f}, on {point['dataset']} "
            f"({point['trials']['impostor']:,} impostor trials)"
        )
    fields |= {
        "file": f"{one.file} ({byte_count(one.size)})",
        "SHA-256": one.sha256,
        "addresses": ", ".join(one.urls),
        "here": _place(one) or f"no (facever models get {one.name})",
    }
    print_fields(fields)


def get(name: Name, as_json: AsJson = False) -> None:
    """Download a public model into the user's cache, unless it is already on this machine.

    Prints the licence first. The file must have the SHA-256 hash of the catalogue.
    """
    from facever.catalogue import entry
    from facever.catalogue.fetching import fetch

    path = fetch(entry(name))
    print(json.dumps({"name": name, "path": str(path)}) if as_json else path)


def _described(one: "Entry") -> dict[str, Any]:
    return {**one.to_dict(), "path": _place(one)}


def _place(one: "Entry") -> str | None:
    from facever.catalogue import found_at

    path = found_at(one)
    return None if path is None else str(path)
