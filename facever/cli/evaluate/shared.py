"""Options and output shared by the commands of `facever evaluate`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facever.cli.several import is_number, several

if TYPE_CHECKING:
    from facever.embeddings.embedding_set import EmbeddingSet
    from facever.evaluation.one_to_one.calibration import CalibrationResult

MANY_FARS = several("--far", is_number)

Embeddings = Annotated[
    Path,
    typer.Argument(
        help="A folder made by facever embed or embeddings import, or a file of embeddings with "
        "identities (.npz, .h5, .mat, .parquet, .pkl)."
    ),
]
Metric = Annotated[
    str | None,
    typer.Option(help="cosine, euclidean or dot. [default: the model's metric]"),
]
Pairs = Annotated[
    Path | None,
    typer.Option(
        help="A pair list: CSV or Parquet with a, b, same[, fold], LFW's text, a folder of CFP's "
        "folds (Protocol/Split/FP), or IJB's list of templates (ijbc_template_pair_label.txt)."
    ),
]
Protocol = Annotated[
    str | None,
    typer.Option(
        help="Trials: all-pairs (default), pairs, lfw-view1, lfw-view2, cfp-ff or cfp-fp."
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        help="Only rows with COLUMN=VALUE, such as subset=test. Repeatable: values of one "
        "column are alternatives; a row must match every column."
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        help="Exclude pairs with the same value in this column, such as camera. Repeatable."
    ),
]
AllowOverlap = Annotated[
    bool, typer.Option(help="Evaluate LFW's lists even if the model was trained on people in them.")
]
DataRoot = Annotated[
    Path | None,
    typer.Option(help="Folder of the official lists (default: $FACEVER_DATA, ./data)."),
]
Templates = Annotated[
    str | None,
    typer.Option(
        help="Pool images into templates: the column with the template's name, or a CSV or "
        "Parquet list "
        "with template, path[, identity, media]."
    ),
]
Media = Annotated[
    str | None,
    typer.Option(
        help="With --templates: the column with the medium (photo or video) of each image. "
        "[default: media, if present]"
    ),
]
Quality = Annotated[
    str | None,
    typer.Option(
        help="With --templates: the column with the weight of each image, such as norm; several, "
        "separated by commas, are multiplied."
    ),
]
SaveCalibration = Annotated[
    Path | None,
    typer.Option(
        help="Write the calibration to this file, for use in galleries. Requires --prior."
    ),
]
Distances = Annotated[
    bool,
    typer.Option(
        "--distances", help="The scores are distances (smaller means more similar): negate them."
    ),
]
Rows = Annotated[
    Path | None,
    typer.Option(
        help="Identities of a matrix's rows (probes): .npy, text with one per line, CSV or Parquet "
        "with a column identity, or a BEE sigset."
    ),
]
Columns = Annotated[
    Path | None,
    typer.Option(
        help="Identities of a matrix's columns (references). [default: those of the rows, if the "
        "matrix is square]"
    ),
]
Mask = Annotated[
    Path | None,
    typer.Option(
        help="Mask of a matrix: a BEE mask or uint8 .npy, 0x00 not compared, 0x7f impostor, 0xff "
        "genuine."
    ),
]
Failures = Annotated[
    str,
    typer.Option(
        help="NaN scores: refuse, or nan to count them as failed comparisons, which are rejected."
    ),
]


def of_scores(
    rows: Path | None, columns: Path | None, mask: Path | None, distances: bool, failures: str
) -> dict[str, Any]:
    """Return the options of scores that are given, by their names in Python."""
    given: dict[str, Any] = {"rows": rows, "columns": columns, "mask": mask}
    given = {name: value for name, value in given.items() if value is not None}
    if distances:
        given["distances"] = True
    if failures != "refuse":
        given["failures"] = failures
    return given


def is_scores(path: Path, options: Mapping[str, Any]) -> bool:
    """Return whether a path is of scores: a file that is not one of embeddings.

    A .npy or .npz matrix with options of scores (`of_scores`) is one.
    """
    from facever.evaluation.path_kinds import is_embeddings

    return path.is_file() and (bool(options) or not is_embeddings(path))


def refuse_options(given: Mapping[str, Any], why: str) -> None:
    """Raise for the first option that is given and does not apply."""
    from facever.errors import EvaluationError

    for name, value in given.items():
        if value not in (None, False, [], ()):
            raise EvaluationError(f"{why}: omit --{name.replace('_', '-')}")


def load(
    path: Path,
    where: Sequence[str] | None = None,
    templates: str | None = None,
    media: str | None = None,
    quality: str | None = None,
) -> "EmbeddingSet":
    """Open embeddings, select rows, and pool them into templates where `templates` is set."""
    from facever.errors import EvaluationError
    from facever.evaluation.inputs import rows_where
    from facever.evaluation.protocols.templates import template_set

    rows = rows_where(_opened(path), where or [])
    if templates is not None:
        return template_set(rows, templates, media=media, quality=quality)
    if media is not None or quality is not None:
        raise EvaluationError("--media and --quality require --templates COLUMN|LIST")
    return rows


def _opened(path: Path) -> "EmbeddingSet":
    """Open embeddings; an error says what else a file can be."""
    from facever.embedding_files.opening import open_embeddings
    from facever.errors import DataError, EvaluationError
    from facever.evaluation.path_kinds import kind_of

    kind, doubt = kind_of(path) if path.is_file() else ("embeddings", None)
    if kind == "scores" and doubt is None:
        raise EvaluationError(f"{path} is a file of scores: use facever evaluate scores {path}")
    try:
        return open_embeddings(path)
    except DataError as error:
        if doubt is None:
            raise
        raise DataError(
            f"{error}; if it is a matrix of scores, give identities (facever evaluate scores, "
            "identification or retrieval, with --rows FILE --columns FILE)"
        ) from error


def keep_calibration(result: "CalibrationResult", prior: float | None, path: Path | None) -> None:
    """Write a calibration to a file, if a file is given."""
    from facever.core.console import say
    from facever.errors import EvaluationError

    if path is None:
        return
    if prior is None:
        raise EvaluationError(
            "--save-calibration needs --prior: in operation, the share of genuine trials (1:1), or "
            "of searches whose first candidate is correct (1:N)"
        )
    result.stored().save(path)
    say(f"calibration: {path}")


def show(result: Any, as_json: bool) -> None:
    """Print a result on standard output, and its warnings on standard error."""
    from facever.core.console import warn
    from facever.render.text import terminal_width

    for warning in getattr(result, "warnings", ()):
        warn(warning)
    if as_json:
        print(json.dumps(result.to_dict(), allow_nan=False))
    else:
        print(result.to_text(terminal_width()))
