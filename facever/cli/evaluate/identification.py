"""`facever evaluate identification`: open-set identification of probes in a gallery."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facever.cli.evaluate.shared import (
    Columns,
    Distances,
    Failures,
    Mask,
    Metric,
    Rows,
    SaveCalibration,
    is_scores,
    keep_calibration,
    load,
    of_scores,
    refuse_options,
    show,
)
from facever.cli.options import AsJson
from facever.cli.several import is_kind, is_number, several

if TYPE_CHECKING:
    from facever.evaluation.one_to_many.identified import IdentificationResult

MANY_INDEXES = several(
    "--index", is_kind, several("--rank", is_number, several("--fpir", is_number))
)


def identification(
    probes: Annotated[
        Path,
        typer.Argument(
            help="The probes: a folder made by facever embed, or a file of embeddings with "
            "identities; or, without GALLERY, scores of any system: a matrix, or Bob's 4 or 5 "
            "columns."
        ),
    ],
    gallery: Annotated[
        Path | None,
        typer.Argument(
            help="The gallery: embeddings of the enrolled people by the same model. Not with "
            "--protocol.",
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="ijb-1n: PROBES are the embeddings of a whole IJB-B or IJB-C folder; measure both "
            "galleries and their mean, on templates."
        ),
    ] = None,
    media: Annotated[
        str | None,
        typer.Option(help="With --protocol: as for evaluate verification --templates."),
    ] = None,
    quality: Annotated[
        str | None,
        typer.Option(
            help="With --protocol: the column with the weight of each image in its template, such "
            "as norm; several, separated by commas, are multiplied."
        ),
    ] = None,
    fpir: Annotated[
        list[float] | None,
        typer.Option(help="False positive identification rates. [default: 0.1 0.01]"),
    ] = None,
    rank: Annotated[
        list[int] | None,
        typer.Option(
            help="Ranks (number of candidates considered), one or several. [default: 1 10]"
        ),
    ] = None,
    rule: Annotated[
        str, typer.Option(help="How the scores of a person's templates are combined: max or mean.")
    ] = ("max"),
    templates: Annotated[
        str,
        typer.Option(
            help="Templates of a person, as in a gallery: all, mean, quality_mean or medoids:K."
        ),
    ] = "all",
    similarity: Metric = None,
    index: Annotated[
        list[str] | None,
        typer.Option(
            help="Deprecated: use facever gallery tune GALLERY PROBES --index. Removed in the next "
            "version."
        ),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(help="With --index: see facever gallery tune --candidates."),
    ] = None,
    operating_point: Annotated[
        list[Path] | None,
        typer.Option(help="A file with a 1:N operating point to evaluate here. Repeatable."),
    ] = None,
    save_operating_point: Annotated[
        Path | None,
        typer.Option(help="Write the operating point at the smallest FPIR to this file."),
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(
            help="Fit the probability that the first candidate is correct: logistic or isotonic."
        ),
    ] = None,
    prior: Annotated[
        float | None,
        typer.Option(
            help="With --calibrate: the share of searches in operation whose first candidate is "
            "correct, between 0 and 1. [default: their share in these probes]"
        ),
    ] = None,
    save_calibration: SaveCalibration = None,
    rows: Rows = None,
    columns: Columns = None,
    mask: Mask = None,
    distances: Distances = False,
    failures: Failures = "refuse",
    as_json: AsJson = False,
) -> None:
    """Measure open-set identification (1:N): FNIR at FPIR over ranks."""
    from facever import evaluate
    from facever.core.console import say, warn
    from facever.errors import EvaluationError
    from facever.evaluation.one_to_many.identification import DEFAULT_FPIRS, DEFAULT_RANKS
    from facever.operating_point import OperatingPoint

    of_files = of_scores(rows, columns, mask, distances, failures)
    if protocol is None and (media is not None or quality is not None):
        raise EvaluationError("--media and --quality require --protocol ijb-1n")
    if protocol is None and (gallery is None or is_scores(probes, of_files)):
        refuse_options(
            {
                "templates": templates if templates != "all" else None,
                "similarity": similarity,
                "index": index,
                "candidates": candidates,
                "operating_point": operating_point,
                "save_operating_point": save_operating_point,
                "calibrate": calibrate,
                "prior": prior,
                "save_calibration": save_calibration,
            },
            f"{probes} is of scores of another system",
        )
        files = [probes] if gallery is None else [probes, gallery]
        show(_of_scores(files, fpir, rank, rule, of_files), as_json)
        return
    refuse_options(of_files, f"{probes} has embeddings, not scores")
    if candidates is not None and not index:
        raise EvaluationError("--candidates requires --index")
    if index and (rule != "max" or templates != "all" or operating_point or calibrate):
        raise EvaluationError(
            "--index uses the thresholds of exact search with rule max: omit --rule, "
            "--templates, --operating-point and --calibrate"
        )
    if calibrate is None and (prior is not None or save_calibration is not None):
        raise EvaluationError("--prior and --save-calibration require --calibrate METHOD")
    options: dict[str, Any] = {
        "fpir": list(fpir or DEFAULT_FPIRS),
        "ranks": list(rank or DEFAULT_RANKS),
    }
    if protocol is not None:
        others = {
            "GALLERY": gallery,
            "--rule": rule != "max",
            "--templates": templates != "all",
            "--similarity": similarity,
            "--index": index,
            "--operating-point": operating_point,
            "--save-operating-point": save_operating_point,
            "--calibrate": calibrate,
        }
        _by_protocol(protocol, [name for name, given in others.items() if given])
        whole = load(probes)
        judged = evaluate.ijb_identification(whole, media=media, quality=quality, **options)
        if fpir:
            judged.fnir(max(fpir), min(options["ranks"]))  # raises the error
        show(judged, as_json)
        return
    assert gallery is not None  # without one, PROBES are scores
    options["similarity"] = similarity
    first, second = load(probes), load(gallery)
    if index:
        from facever.studies.former import index_cost

        warn(
            "--index of evaluate identification is deprecated and removed in the next version: use "
            "facever gallery "
            "tune GALLERY PROBES --index ..."
        )
        result: Any = index_cost(first, second, index, candidates=candidates, **options)
        exact = result.exact
    else:
        stored = [OperatingPoint.load(path) for path in operating_point or []]
        result = exact = evaluate.identification(
            first,
            second,
            rule=rule,
            operating_points=stored,
            templates=templates,
            calibrate=calibrate,
            prior=prior,
            **options,
        )
    if fpir and not exact.points:
        exact.operating_point(max(fpir))  # raises the error
    if save_operating_point is not None:
        exact.operating_point(min(options["fpir"])).save(save_operating_point)
        say(f"operating point: {save_operating_point}")
    if exact.calibration is not None:
        keep_calibration(exact.calibration, prior, save_calibration)
    show(result, as_json)


def _by_protocol(protocol: str, others: list[str]) -> None:
    """Refuse an unknown protocol, and arguments that it does not support."""
    from facever.errors import EvaluationError, unknown
    from facever.evaluation.one_to_many.ijb import PROTOCOL

    if protocol != PROTOCOL:
        raise EvaluationError(unknown("protocol", protocol, (PROTOCOL,)))
    if others:
        raise EvaluationError(f"--protocol {PROTOCOL} does not support {others[0]}: omit it")


def _of_scores(
    files: list[Path],
    fpir: list[float] | None,
    rank: list[int] | None,
    rule: str,
    options: dict[str, Any],
) -> "IdentificationResult":
    """Measure identification from files of scores."""
    from facever import evaluate
    from facever.embeddings.embedding_set import VECTORS
    from facever.errors import EvaluationError
    from facever.evaluation.one_to_many.identification import DEFAULT_FPIRS, DEFAULT_RANKS

    of_vectors = files[0].is_file() and not is_scores(files[0], options)
    if of_vectors or (files[0] / VECTORS).is_file():
        raise EvaluationError(
            f"{files[0]} has embeddings of probes: give the GALLERY too, or "
            "--protocol ijb-1n for a whole IJB-B or IJB-C"
        )
    result = evaluate.identification_scores(
        files,
        fpir=list(fpir or DEFAULT_FPIRS),
        ranks=list(rank or DEFAULT_RANKS),
        rule=rule,
        **options,
    )
    if fpir and not result.points:
        result.at(max(fpir))  # raises the error
    return result
