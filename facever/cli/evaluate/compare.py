"""`facever evaluate compare`: compare two models on the same trials."""

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.evaluate.shared import (
    AllowOverlap,
    DataRoot,
    Exclude,
    Media,
    Pairs,
    Protocol,
    Quality,
    Templates,
    Where,
    load,
    show,
)
from facever.cli.options import AsJson, Fars


def compare(
    first: Annotated[
        Path,
        typer.Argument(
            help="Embeddings of the first model: a folder made by facever embed, or a file of "
            "embeddings with identities."
        ),
    ],
    second: Annotated[
        Path, typer.Argument(help="Embeddings of the same images by the second model.")
    ],
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
    retrieval: Annotated[
        bool, typer.Option("--retrieval", help="Compare CMC, mAP and mINP instead of TAR at FAR.")
    ] = False,
    queries: Annotated[
        list[str] | None,
        typer.Option(
            help="With --retrieval: rows with COLUMN=VALUE are queries. Repeatable. [default: "
            "subset=query]"
        ),
    ] = None,
    gallery: Annotated[
        list[str] | None,
        typer.Option(
            help="With --retrieval: rows with COLUMN=VALUE are the gallery. Repeatable. "
            "[default: subset=gallery]"
        ),
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(
            help="With --retrieval: the camera column; images of the query's identity from the "
            "query's camera are ignored."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two models on the same trials; report which differences are significant."""
    from facever import evaluate
    from facever.errors import EvaluationError
    from facever.evaluation.defaults import DEFAULT_FARS

    pooled = templates, media, quality
    pairwise = (pairs, protocol, far, exclude, *pooled)
    if retrieval:
        if any(option is not None for option in pairwise) or allow_overlap:
            raise EvaluationError(
                "--retrieval accepts only --where, --queries, --gallery and --camera: omit the "
                "other options"
            )
        one, two = (
            evaluate.retrieval(side, queries=queries, gallery=gallery, camera=camera)
            for side in evaluate.same_images(load(first, where), load(second, where))
        )
        show(evaluate.compare_retrieval(one, two), as_json)
        return
    if any(option is not None for option in (queries, gallery, camera)):
        raise EvaluationError("--queries, --gallery and --camera require --retrieval")
    result = evaluate.compare(
        load(first, where, *pooled),
        load(second, where, *pooled),
        protocol=protocol,
        pairs=pairs,
        far=list(far or DEFAULT_FARS),
        exclude=exclude or [],
        allow_overlap=allow_overlap,
        data=data,
    )
    if not result.points and result.accuracy is None:
        lacking = "; ".join(f"FAR {rate:g} needs {n:,}" for rate, n in result.refused.items())
        raise EvaluationError(
            f"nothing to compare: {lacking} impostor trials, there are {result.trials.impostor:,}"
        )
    show(result, as_json)
