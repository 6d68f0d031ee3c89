"""`facever evaluate retrieval`: rank a gallery for each query (ReID)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facever.cli.evaluate.shared import (
    Columns,
    Distances,
    Failures,
    Mask,
    Media,
    Metric,
    Quality,
    Rows,
    is_scores,
    load,
    of_scores,
    refuse_options,
    show,
)
from facever.cli.options import AsJson

if TYPE_CHECKING:
    from facever.evaluation.one_to_many.expansion import Expansion
    from facever.evaluation.one_to_many.reranking import Reranking
    from facever.evaluation.one_to_many.side_templates import SideTemplates


def retrieval(
    embeddings: Annotated[
        Path,
        typer.Argument(
            help="A folder made by facever embed, or a file of embeddings with identities; or a "
            "file of scores of any system: a matrix, or Bob's 4 or 5 columns."
        ),
    ],
    queries: Annotated[
        list[str] | None,
        typer.Option(
            help="Rows with COLUMN=VALUE are queries. Repeatable: values of one column are "
            "alternatives. [default: subset=query]"
        ),
    ] = None,
    gallery: Annotated[
        list[str] | None,
        typer.Option(
            help="Rows with COLUMN=VALUE are the gallery. Repeatable. [default: subset=gallery]"
        ),
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(
            help="Camera column for the cross-camera rule: images of the query's identity from "
            "the query's camera are ignored."
        ),
    ] = None,
    templates: Annotated[
        str | None,
        typer.Option(
            help="Pool the images of a track into one template: the column with the track's name."
        ),
    ] = None,
    template_sides: Annotated[
        str | None,
        typer.Option(
            help="With --templates: the sides that are pooled: both, queries or gallery (image to "
            "track). [default: both]"
        ),
    ] = None,
    media: Media = None,
    quality: Quality = None,
    similarity: Metric = None,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Re-rank with k-reciprocal neighbours.")
    ] = False,
    k1: Annotated[
        int | None,
        typer.Option(
            help="With --rerank: number of neighbours searched for reciprocal ones (k1). "
            "[default: 20]"
        ),
    ] = None,
    k2: Annotated[
        int | None,
        typer.Option(
            help="With --rerank: number of rows averaged in the local query expansion (k2). "
            "[default: 6]"
        ),
    ] = None,
    lambda_value: Annotated[
        float | None,
        typer.Option(
            "--lambda",
            help="With --rerank: weight of the original distance, 0 to 1. [default: 0.3]",
        ),
    ] = None,
    expand: Annotated[
        int | None,
        typer.Option(help="Query expansion: average each query with its K nearest gallery rows."),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(help="With --expand: weight these rows by cosine^alpha (alpha-QE)."),
    ] = None,
    expand_gallery: Annotated[
        bool, typer.Option("--expand-gallery", help="With --expand: expand the gallery rows first.")
    ] = False,
    rows: Rows = None,
    columns: Columns = None,
    mask: Mask = None,
    distances: Distances = False,
    failures: Failures = "refuse",
    as_json: AsJson = False,
) -> None:
    """Measure retrieval (ReID): CMC, both mean average precisions, mINP."""
    from facever import evaluate

    of_files = of_scores(rows, columns, mask, distances, failures)
    if is_scores(embeddings, of_files):
        refuse_options(
            {
                "queries": queries,
                "gallery": gallery,
                "camera": camera,
                "templates": templates,
                "template_sides": template_sides,
                "media": media,
                "quality": quality,
                "similarity": similarity,
                "rerank": rerank,
                "k1": k1,
                "k2": k2,
                "lambda": lambda_value,
                "expand": expand,
                "alpha": alpha,
                "expand_gallery": expand_gallery,
            },
            f"{embeddings} is a file of scores",
        )
        show(evaluate.retrieval_scores(embeddings, **of_files), as_json)
        return
    refuse_options(of_files, f"{embeddings} has embeddings, not scores")
    result = evaluate.retrieval(
        load(embeddings),
        queries=queries,
        gallery=gallery,
        camera=camera,
        templates=_templates(templates, template_sides, media, quality),
        similarity=similarity,
        rerank=_reranking(rerank, {"k1": k1, "k2": k2, "lambda": lambda_value}),
        expand=_expansion(expand, alpha, expand_gallery),
    )
    show(result, as_json)


def _templates(
    column: str | None, sides: str | None, media: str | None, quality: str | None
) -> "SideTemplates | None":
    from facever.errors import EvaluationError
    from facever.evaluation.one_to_many.side_templates import SideTemplates

    if column is None:
        given = {"template-sides": sides, "media": media, "quality": quality}
        for name in (name for name, value in given.items() if value is not None):
            raise EvaluationError(f"--{name} requires --templates COLUMN")
        return None
    return SideTemplates(column, media, quality, sides or "both")


def _reranking(wanted: bool, given: dict[str, float | None]) -> "Reranking | None":
    from facever.errors import EvaluationError
    from facever.evaluation.one_to_many.reranking import Reranking

    named = {name: value for name, value in given.items() if value is not None}
    if not wanted:
        if named:
            raise EvaluationError(f"--{next(iter(named))} requires --rerank")
        return None
    standard = Reranking()
    return Reranking(
        k1=int(named.get("k1", standard.k1)),
        k2=int(named.get("k2", standard.k2)),
        lambda_value=named.get("lambda", standard.lambda_value),
    )


def _expansion(
    neighbours: int | None,
    alpha: float | None,
    gallery: bool,
) -> "Expansion | None":
    from facever.errors import EvaluationError
    from facever.evaluation.one_to_many.expansion import Expansion

    if neighbours is None:
        if alpha is not None or gallery:
            name = "--alpha" if alpha is not None else "--expand-gallery"
            raise EvaluationError(f"{name} requires --expand K")
        return None
    return Expansion(neighbours, alpha, gallery)
