"""`facever evaluate transfer`: apply thresholds of one set to another."""

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
            help="An operating point file, or a folder of embeddings to choose thresholds on.",
        ),
    ],
    embeddings: Annotated[
        Path, typer.Argument(help="A folder of embeddings of other people by the same model.")
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
    """Apply thresholds to other people and report the resulting FMR and FNMR.

    --pairs, --protocol and --where select the trials of EMBEDDINGS. If SOURCE is a folder of
    embeddings, all of its pairs are used to choose the thresholds.
    """
    from facever import evaluate
    from facever.errors import EvaluationError
    from facever.evaluation.defaults import DEFAULT_FARS
    from facever.operating_point import OperatingPoint

    if source.is_file() and (far or similarity):
        raise EvaluationError(
            "an operating point includes its rate and similarity: omit --far and --similarity"
        )
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
