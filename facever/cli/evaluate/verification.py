"""`facever evaluate verification`: all pairs of embeddings, a pair list, or LFW's protocols."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from facever.cli.evaluate.shared import AsJson, Embeddings, Fars, Metric, show


def verification(
    embeddings: Embeddings,
    pairs: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads the annotation
        typer.Option(help="A pair list: CSV or Parquet with a, b, same[, fold], or LFW's text."),
    ] = None,
    protocol: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="all-pairs (default), pairs, lfw-view1 or lfw-view2."),
    ] = None,
    far: Fars = None,
    similarity: Metric = None,
    where: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Only rows with COLUMN=VALUE, such as subset=test. Repeatable."),
    ] = None,
    exclude: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Leave out pairs that agree in this column (camera). Repeatable."),
    ] = None,
    group: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="FMR and FNMR by the values of this column. Repeatable."),
    ] = None,
    allow_overlap: Annotated[
        bool, typer.Option(help="Score LFW's lists although the model knows their people.")
    ] = False,
    data: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Where LFW's lists are (default: $FACEVER_DATA, ./data)."),
    ] = None,
    save_operating_point: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write the threshold of --at-far to this file, for galleries."),
    ] = None,
    at_far: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="The FAR of the operating point to save."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure 1:1 verification: TAR at each FAR, ROC area, equal error rate, accuracy."""
    from facever.console import say
    from facever.errors import EvaluationError
    from facever.evaluation.one_to_one.verification import DEFAULT_FARS
    from facever.evaluation.protocols.sets import rows_where
    from facever.evaluation.protocols.verification import evaluate_verification
    from facever.vectors.embedding_set import EmbeddingSet

    if (save_operating_point is None) != (at_far is None):
        raise EvaluationError("--save-operating-point FILE and --at-far RATE belong together")
    fars = list(far or DEFAULT_FARS)
    result = evaluate_verification(
        rows_where(EmbeddingSet.load(embeddings), where or []),
        protocol=protocol,
        pairs=pairs,
        far=fars if at_far is None else [*fars, at_far],
        similarity=similarity,
        exclude=exclude or [],
        groups=group or [],
        allow_overlap=allow_overlap,
        data=data,
    )
    if save_operating_point is not None and at_far is not None:
        result.operating_point(at_far).save(save_operating_point)
        say(f"operating point: {save_operating_point}")
    show(result, as_json)
