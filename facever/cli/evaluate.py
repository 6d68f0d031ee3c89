"""`facever evaluate`: measure embeddings."""

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from facever.cli.several import is_number, several

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Measure embeddings, or the scores of any system.",
)


_ManyFars = several("--far", is_number)


@app.callback()
def _root() -> None:
    """Measure embeddings, or the scores of any system."""


@app.command(cls=_ManyFars)
def verification(
    embeddings: Annotated[Path, typer.Argument(help="A folder made by facever embed.")],
    pairs: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads the annotation
        typer.Option(help="A pair list: CSV or Parquet with a, b, same[, fold], or LFW's text."),
    ] = None,
    protocol: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="all-pairs (default), pairs, lfw-view1 or lfw-view2."),
    ] = None,
    far: Annotated[
        Optional[list[float]],  # noqa: UP045
        typer.Option(help="False accept rates, one or several. [default: 1e-2 1e-3 1e-4]"),
    ] = None,
    similarity: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="cosine, euclidean or dot. [default: the model's own]"),
    ] = None,
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
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure 1:1 verification: TAR at each FAR, ROC area, equal error rate, accuracy."""
    from facever.console import say, warn
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
    for warning in result.warnings:
        warn(warning)
    if save_operating_point is not None and at_far is not None:
        result.operating_point(at_far).save(save_operating_point)
        say(f"operating point: {save_operating_point}")
    _print(result, as_json)


@app.command()
def retrieval(
    embeddings: Annotated[Path, typer.Argument(help="A folder made by facever embed.")],
    queries: Annotated[
        str, typer.Option(help="COLUMN=VALUE of the queries' rows.")
    ] = "subset=query",
    gallery: Annotated[
        str, typer.Option(help="COLUMN=VALUE of the gallery's rows.")
    ] = "subset=gallery",
    camera: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="The cross-camera rule by this column, such as camera."),
    ] = None,
    similarity: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="cosine, euclidean or dot. [default: the model's own]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure retrieval (ReID): CMC, both mean average precisions, mINP."""
    from facever.evaluation.protocols.sets import evaluate_retrieval
    from facever.vectors.embedding_set import EmbeddingSet

    result = evaluate_retrieval(
        EmbeddingSet.load(embeddings), queries, gallery, camera=camera, similarity=similarity
    )
    _print(result, as_json)


@app.command()
def identification(
    probes: Annotated[Path, typer.Argument(help="The probes: a folder made by facever embed.")],
    gallery: Annotated[Path, typer.Argument(help="The people enrolled, by the same model.")],
    fpir: Annotated[
        Optional[list[float]],  # noqa: UP045
        typer.Option(help="False positive identification rates. Repeatable. [default: 0.1 0.01]"),
    ] = None,
    rule: Annotated[str, typer.Option(help="A person's score over templates: max or mean.")] = (
        "max"
    ),
    similarity: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="cosine, euclidean or dot. [default: the model's own]"),
    ] = None,
    save_operating_point: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write the threshold of the smallest FPIR to this file."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure open-set identification (1:N): FNIR at FPIR over ranks."""
    from facever.console import say
    from facever.evaluation.one_to_many.identification import DEFAULT_FPIRS
    from facever.evaluation.protocols.sets import evaluate_identification
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
    _print(result, as_json)


@app.command(cls=_ManyFars)
def compare(
    first: Annotated[Path, typer.Argument(help="Embeddings by one model.")],
    second: Annotated[Path, typer.Argument(help="Embeddings of the same images by another.")],
    far: Annotated[
        Optional[list[float]],  # noqa: UP045
        typer.Option(help="False accept rates, one or several. [default: 1e-2 1e-3 1e-4]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Compare two models on the same trials: which difference is resolved."""
    from facever.evaluation.one_to_one.verification import DEFAULT_FARS
    from facever.evaluation.protocols.sets import evaluate_comparison
    from facever.vectors.embedding_set import EmbeddingSet

    fars = list(far or DEFAULT_FARS)
    result = evaluate_comparison(EmbeddingSet.load(first), EmbeddingSet.load(second), far=fars)
    _print(result, as_json)


@app.command()
def calibration(
    embeddings: Annotated[Path, typer.Argument(help="A folder made by facever embed.")],
    method: Annotated[str, typer.Option(help="logistic or isotonic.")] = "logistic",
    similarity: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="cosine, euclidean or dot. [default: the model's own]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Fit scores to likelihood ratios on half of the people, judge on the others: Cllr."""
    from facever.evaluation.protocols.sets import evaluate_calibration
    from facever.vectors.embedding_set import EmbeddingSet

    chosen = EmbeddingSet.load(embeddings)
    _print(evaluate_calibration(chosen, method=method, similarity=similarity), as_json)


@app.command(cls=_ManyFars)
def scores(
    file: Annotated[
        Path,
        typer.Argument(help="CSV, Parquet or npz: score, label[, identity_a, identity_b]."),
    ],
    far: Annotated[
        Optional[list[float]],  # noqa: UP045
        typer.Option(help="False accept rates, one or several. [default: 1e-2 1e-3 1e-4]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure 1:1 verification from the scores of any system."""
    from facever.console import warn
    from facever.evaluation.one_to_one.verification import DEFAULT_FARS
    from facever.evaluation.protocols.score_file import evaluate_scores

    result = evaluate_scores(file, far=list(far or DEFAULT_FARS))
    for warning in result.warnings:
        warn(warning)
    _print(result, as_json)


def _print(result: Any, as_json: bool) -> None:
    import json

    print(json.dumps(result.to_dict(), allow_nan=False) if as_json else result.to_text())
