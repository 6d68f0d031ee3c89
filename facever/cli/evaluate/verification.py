"""`facever evaluate verification`: measure all pairs, a pair list, or a protocol."""

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
        typer.Option(
            help="A second set of embeddings by the same model: compare each row with each row "
            "of this set only."
        ),
    ] = None,
    against_where: Annotated[
        list[str] | None,
        typer.Option(help="Only rows of --against with COLUMN=VALUE. Repeatable, like --where."),
    ] = None,
    exclude: Exclude = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="Also report FMR and FNMR for each value of this column. Repeatable."),
    ] = None,
    group_far: Annotated[
        float | None,
        typer.Option(
            help="With --group: the FAR of the common threshold. [default: the smallest supported]"
        ),
    ] = None,
    templates: Templates = None,
    media: Media = None,
    quality: Quality = None,
    cohort: Annotated[
        Path | None,
        typer.Option(
            help="Normalise scores with a cohort: embeddings of other people by the same model."
        ),
    ] = None,
    snorm: Annotated[
        str | None,
        typer.Option(help="With --cohort: s (S-norm) or as (adaptive S-norm). [default: as]"),
    ] = None,
    cohort_top: Annotated[
        int | None,
        typer.Option(
            help="With --snorm as: the number of highest cohort scores used. [default: 200]"
        ),
    ] = None,
    detail: Annotated[
        bool,
        typer.Option(
            help="Also report confidence intervals along the ROC curve and suspected label errors."
        ),
    ] = False,
    allow_overlap: AllowOverlap = False,
    data: DataRoot = None,
    save_operating_point: Annotated[
        Path | None,
        typer.Option(
            help="Write the operating point at --at-far to this file, for use in galleries."
        ),
    ] = None,
    at_far: Annotated[
        float | None,
        typer.Option(help="The FAR for --save-operating-point."),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Device that computes the scores of all pairs: cpu, cuda or auto.")
    ] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Measure 1:1 verification: TAR at each FAR, ROC area, equal error rate, accuracy."""
    from facever import evaluate
    from facever.core.console import say
    from facever.errors import EvaluationError
    from facever.evaluation.defaults import DEFAULT_FARS

    if (save_operating_point is None) != (at_far is None):
        raise EvaluationError("--save-operating-point FILE and --at-far RATE require each other")
    fars = list(far or DEFAULT_FARS)
    judged = load(embeddings, where, templates, media, quality)
    others = None
    if against_where and against is None:
        raise EvaluationError("--against-where requires --against EMBEDDINGS")
    gallery = None
    if against is not None:
        gallery = load(against, against_where, templates, media, quality)
    if cohort is not None:
        others = evaluate.cohort_of(load(cohort), judged, snorm or "as", cohort_top)
    elif snorm is not None or cohort_top is not None:
        raise EvaluationError("--snorm and --cohort-top require --cohort EMBEDDINGS")
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
        result.at(max(far))  # raises the error
    show(result, as_json)
