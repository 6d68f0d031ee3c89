"""`facever evaluate compare`: two models on the same trials."""

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.evaluate.shared import (
    AllowOverlap,
    AsJson,
    DataRoot,
    Exclude,
    Fars,
    Media,
    Pairs,
    Protocol,
    Quality,
    Templates,
    Where,
    load,
    show,
)


def compare(
    first: Annotated[Path, typer.Argument(help="Embeddings by one model.")],
    second: Annotated[Path, typer.Argument(help="Embeddings of the same images by another.")],
    pairs: Pairs = None,
    protocol: Protocol = None,
    far: Fars = None,
    where: Where = None,
    exclude: Exclude = None,
    templates: Templates = None,
    media: Media = None,
    quality: Quality = None,
    allow_overlap: AllowOverlap = False,
    data: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Compare two models on the same trials: which difference is resolved."""
    from facever.evaluation.one_to_one.verification import DEFAULT_FARS
    from facever.evaluation.protocols.comparison import evaluate_comparison

    sets = [load(path, where, templates, media, quality) for path in (first, second)]
    result = evaluate_comparison(
        *sets,
        protocol=protocol,
        pairs=pairs,
        far=list(far or DEFAULT_FARS),
        exclude=exclude or [],
        allow_overlap=allow_overlap,
        data=data,
    )
    show(result, as_json)
