"""`facever evaluate transfer`: thresholds of one set on another."""

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.evaluate.shared import (
    AllowOverlap,
    DataRoot,
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


def transfer(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="An operating point's file, or the embeddings on which thresholds are chosen.",
        ),
    ],
    embeddings: Annotated[
        Path, typer.Argument(help="The embeddings of other people, by the same model.")
    ],
    far: Fars = None,
    pairs: Pairs = None,
    protocol: Protocol = None,
    similarity: Metric = None,
    where: Where = None,
    exclude: Exclude = None,
    templates: Templates = None,
    media: Media = None,
    quality: Quality = None,
    allow_overlap: AllowOverlap = False,
    data: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Apply thresholds to other people and state the FMR and FNMR that they have there.

    --pairs, --protocol and --where choose the trials of EMBEDDINGS; where SOURCE is embeddings,
    all of its pairs choose the thresholds.
    """
    from facever import evaluate
    from facever.errors import EvaluationError
    from facever.evaluation.defaults import DEFAULT_FARS
    from facever.operating_point import OperatingPoint

    if source.is_file() and (far or similarity):
        raise EvaluationError("an operating point has its own rate and similarity: name neither")
    pooled = templates, media, quality
    result = evaluate.transfer(
        OperatingPoint.load(source) if source.is_file() else load(source, None, *pooled),
        load(embeddings, where, *pooled),
        far=list(far or DEFAULT_FARS),
        protocol=protocol,
        pairs=pairs,
        similarity=similarity,
        exclude=exclude or [],
        allow_overlap=allow_overlap,
        data=data,
    )
    show(result, as_json)
