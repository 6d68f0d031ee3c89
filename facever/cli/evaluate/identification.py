"""`facever evaluate identification`: probes in a gallery of people, some of them not in it."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from facever.cli.evaluate.shared import AsJson, Metric, show


def identification(
    probes: Annotated[Path, typer.Argument(help="The probes: a folder made by facever embed.")],
    gallery: Annotated[Path, typer.Argument(help="The people enrolled, by the same model.")],
    fpir: Annotated[
        Optional[list[float]],  # noqa: UP045 - typer reads the annotation
        typer.Option(help="False positive identification rates. Repeatable. [default: 0.1 0.01]"),
    ] = None,
    rule: Annotated[str, typer.Option(help="A person's score over templates: max or mean.")] = (
        "max"
    ),
    similarity: Metric = None,
    save_operating_point: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write the threshold of the smallest FPIR to this file."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure open-set identification (1:N): FNIR at FPIR over ranks."""
    from facever.console import say
    from facever.evaluation.one_to_many.identification import DEFAULT_FPIRS
    from facever.evaluation.protocols.ranked import evaluate_identification
    from facever.vectors.embedding_set import EmbeddingSet

    fpirs = list(fpir or DEFAULT_FPIRS)
    first, second = EmbeddingSet.load(probes), EmbeddingSet.load(gallery)
    result = evaluate_identification(first, second, fpir=fpirs, rule=rule, similarity=similarity)
    if save_operating_point is not None:
        meta = second.meta
        point = result.operating_point(
            min(fpirs), dataset=meta.dataset, fingerprint=meta.fingerprint
        )
        point.save(save_operating_point)
        say(f"operating point: {save_operating_point}")
    show(result, as_json)
