"""`facever report`: a run folder or embeddings in, one HTML page out."""

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.options import AsJson, Fars
from facever.cli.several import is_number, several

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=several("--far", is_number))
def report(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="A run folder, or a folder of embeddings; several stand side by side.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    far: Fars = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Only rows with COLUMN=VALUE, such as subset=test. Repeatable: values of one "
            "column are alternatives, several columns must all be met."
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="Also error rates by the values of this column. Repeatable."),
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(help="The column of retrieval's cross-camera rule. [default: camera]"),
    ] = None,
    thumbnails: Annotated[
        bool,
        typer.Option("--thumbnails/--no-thumbnails", help="Show pictures of people in the page."),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Write a self-contained HTML report: what was trained, how well it verifies, its mistakes."""
    import json

    from facever.errors import ConfigError
    from facever.render.page import write_report
    from facever.report.build import build, build_side_by_side

    if len(sources) == 1:
        page = build(
            sources[0],
            far=far,
            where=where or [],
            groups=group or [],
            camera=camera,
            thumbnails=thumbnails,
        )
    elif group or camera:
        raise ConfigError("--group and --camera are for the report of one model")
    else:
        page = build_side_by_side(sources, far=far, where=where or [])
    write_report(page, out)
    if as_json:
        named = {"report": str(out), "title": page.title, "verdict": page.verdict}
        print(json.dumps({**named, **page.data}, allow_nan=False))
    else:
        print(page.verdict)
        print(f"report: {out}")
