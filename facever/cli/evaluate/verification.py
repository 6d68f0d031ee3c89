"""`facever evaluate verification`: all pairs of embeddings, a pair list, or a protocol."""

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.evaluate.shared import (
    AllowOverlap,
    DataRoot,
    Embeddings,
    Exclude,
    Media,
    Metric,
    Pairs,
    Protocol,
    Quality,
    Templates,
    Where,
    load,
    show,
)
from facever.cli.options import AsJson, Fars


def verification(
    embeddings: Embeddings,
    pairs: Pairs = None,
    protocol: Protocol = None,
    far: Fars = None,
    similarity: Metric = None,
    where: Where = None,
    against: Annotated[
        Path | None,
        typer.Option(help="A gallery, same model: compare each row with each of its rows only."),
    ] = None,
    against_where: Annotated[
        list[str] | None,
        typer.Option(help="Only rows of --against with COLUMN=VALUE. Repeatable, as --where."),
    ] = None,
    exclude: Exclude = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="FMR and FNMR by the values of this column. Repeatable."),
    ] = None,
    group_far: Annotated[
        float | None,
        typer.Option(help="The FAR of the groups' threshold. [default: the smallest supported]"),
    ] = None,
    templates: Templates = None,
    media: Media = None,
    quality: Quality = None,
    cohort: Annotated[
        Path | None,
        typer.Option(help="Normalise scores by these embeddings of other people, same model."),
    ] = None,
    snorm: Annotated[
        str | None,
        typer.Option(help="With --cohort: s (S-norm) or as (adaptive S-norm). [default: as]"),
    ] = None,
    cohort_top: Annotated[
        int | None,
        typer.Option(help="With --snorm as: how many of the highest scores. [default: 200]"),
    ] = None,
    detail: Annotated[
        bool, typer.Option(help="Also intervals along the curve and suspected wrong names.")
    ] = False,
    allow_overlap: AllowOverlap = False,
    data: DataRoot = None,
    save_operating_point: Annotated[
        Path | None,
        typer.Option(help="Write the threshold of --at-far to this file, for galleries."),
    ] = None,
    at_far: Annotated[
        float | None,
        typer.Option(help="The FAR of the operating point to save."),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Where all pairs are multiplied: cpu, cuda or auto.")
    ] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Measure 1:1 verification: TAR at each FAR, ROC area, equal error rate, accuracy."""
    from facever import evaluate
    from facever.core.console import say
    from facever.errors import EvaluationError
    from facever.evaluation.defaults import DEFAULT_FARS

    if (save_operating_point is None) != (at_far is None):
        raise EvaluationError("--save-operating-point FILE and --at-far RATE belong together")
    fars = list(far or DEFAULT_FARS)
    judged = load(embeddings, where, templates, media, quality)
    others = None
    if against_where and against is None:
        raise EvaluationError("--against-where belongs to --against EMBEDDINGS")
    gallery = None
    if against is not None:
        gallery = load(against, against_where, templates, media, quality)
    if cohort is not None:
        others = evaluate.cohort_of(load(cohort), judged, snorm or "as", cohort_top)
    elif snorm is not None or cohort_top is not None:
        raise EvaluationError("--snorm and --cohort-top belong to --cohort EMBEDDINGS")
    result = evaluate.verification(
        judged,
        protocol=protocol,
        pairs=pairs,
        far=fars if at_far is None else [*fars, at_far],
        similarity=similarity,
        exclude=exclude or [],
        groups=group or [],
        group_far=group_far,
        against=gallery,
        device=device,
        cohort=others,
        detail=detail,
        allow_overlap=allow_overlap,
        data=data,
    )
    if save_operating_point is not None and at_far is not None:
        result.operating_point(at_far).save(save_operating_point)
        say(f"operating point: {save_operating_point}")
    if far and not result.operating_points:
        result.at(max(far))  # refuses it
    show(result, as_json)
