"""`facever report`: write an HTML page about a run or embeddings."""

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
            help="A run folder or a folder of embeddings; several are compared side by side.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Output file (HTML).")] = Path("report.html"),
    far: Fars = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Only rows with COLUMN=VALUE, such as subset=test. Repeatable: values of one "
            "column are alternatives; a row must match every column."
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="Also report error rates for each value of this column. Repeatable."),
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(
            help="The camera column for retrieval; images of the query's identity from the "
            "query's camera are ignored. [default: camera]"
        ),
    ] = None,
    thumbnails: Annotated[
        bool,
        typer.Option(
            "--thumbnails/--no-thumbnails", help="Include pictures of people in the page."
        ),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Write a self-contained HTML report: training, accuracy and errors."""
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
        raise ConfigError("--group and --camera apply to the report of one model: omit them")
    else:
        page = build_side_by_side(sources, far=far, where=where or [])
    write_report(page, out)
    if as_json:
        named = {"report": str(out), "title": page.title, "verdict": page.verdict}
        print(json.dumps({**named, **page.data}, allow_nan=False))
    else:
        print(page.verdict)
        print(f"report: {out}")
