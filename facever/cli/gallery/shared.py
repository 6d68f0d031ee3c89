"""Options and output shared by the commands of `facever gallery`."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from facever.embeddings.embedding_set import EmbeddingSet
    from facever.evaluation.score_calibration import ScoreCalibration
    from facever.gallery.gallery import Gallery
    from facever.operating_point import OperatingPoint

Person = Annotated[str, typer.Argument(metavar="PERSON", help="A person's id.")]
Model = Annotated[
    Path | None,
    typer.Option(
        help="The gallery's model: a run folder, a .safetensors or .onnx file, or a public "
        "model's name."
    ),
]
OwnEngine = Annotated[
    str | None,
    typer.Option(
        help="Engine that runs --model: auto, torch, onnxruntime or openvino. [default: as in "
        "the gallery]",
        show_default=False,
    ),
]
Point = Annotated[
    str | None,
    typer.Option(
        help="Operating point to decide by: a file, or the name of one stored in the gallery."
    ),
]
Calibration = Annotated[
    str | None,
    typer.Option(
        help="Calibration for probabilities: a file, or the name of one stored in the gallery."
    ),
]

Where = Annotated[
    list[str] | None,
    typer.Option(
        help="Only people with KEY=VALUE in their metadata, such as site=A. Repeatable: values "
        "of one key are alternatives; a person must match every key."
    ),
]
Camera = Annotated[
    list[str] | None,
    typer.Option(help="Compare with images that this camera took, only. Repeatable."),
]
TakenFrom = Annotated[
    str | None,
    typer.Option(
        help="Compare with images taken at this time or later, only: ISO 8601 with an offset from "
        "UTC."
    ),
]
TakenTo = Annotated[
    str | None,
    typer.Option(help="Compare with images taken at this time or earlier, only."),
]
IndexKind = Annotated[
    str | None,
    typer.Option(
        help="Kind of index: auto, flat, or a FAISS factory string such as IVF1024,Flat or HNSW32; "
        "in PostgreSQL also pgvector: the database searches."
    ),
]


def print_json(value: Any) -> None:
    """Print a result as one line of JSON."""
    print(json.dumps(value, allow_nan=False))


def print_fields(fields: Mapping[str, object]) -> None:
    """Print one name and value per line, the values aligned."""
    width = max(map(len, fields)) + 2
    for name, value in fields.items():
        print(f"{name + ':':<{width}}{value}")


def source_in(gallery: "Gallery", person: str, given: str) -> str:
    """Return a source as the gallery stores it: paths are absolute."""
    sources = {image.source for image in gallery.images(person)}
    absolute = os.path.abspath(given)  # noqa: PTH100 - of "a.npy#7" too
    return absolute if given not in sources and absolute in sources else given


def print_info(gallery: "Gallery", as_json: bool) -> None:
    """Print a gallery's model, settings and counts."""
    from facever.cli.evaluate.shared import show

    show(gallery.info(), as_json)


@contextmanager
def after_change() -> Iterator[None]:
    """Report an error in reading or printing after a change as a warning; the change remains.

    The command then ends with status 0. Anything that must be readable is read before the change.
    """
    from facever.core.console import warn
    from facever.errors import FaceverError

    try:
        yield
    except (FaceverError, OSError) as error:
        warn(f"the change was made, but the gallery cannot be read afterwards: {error}")


def totals_after(gallery: "Gallery", before: dict[str, int]) -> dict[str, int]:
    """Return the counts of people and images after a change; the counts before it if that fails."""
    now = before
    with after_change():
        now = totals(gallery)
    return now


def totals(gallery: "Gallery") -> dict[str, int]:
    """Return the current counts of people and images."""
    info = gallery.info()
    return {"people": info.people, "images": info.images}


def point_of(given: str | None) -> "OperatingPoint | str | None":
    """Return the operating point in the file `name`; if there is no such file, `name`."""
    from facever.operating_point import OperatingPoint

    if given is not None and os.path.isfile(given):  # noqa: PTH113 - False for any text
        return OperatingPoint.load(Path(given))
    return given


def calibration_of(given: str | None) -> "ScoreCalibration | str | None":
    """Return the calibration in the file `name`; if there is no such file, `name`."""
    from facever.evaluation.score_calibration import ScoreCalibration

    if given is not None and os.path.isfile(given):  # noqa: PTH113 - False for any text
        return ScoreCalibration.load(Path(given))
    return given


def pairs_of(given: Sequence[str], option: str) -> list[tuple[str, str]]:
    """Return the KEY=VALUE words of an option as pairs, in order.

    Raises:
        ConfigError: A word is not KEY=VALUE.
    """
    from facever.errors import ConfigError

    pairs = []
    for word in given:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise ConfigError(f"{option} is '{word}': write KEY=VALUE")
        pairs.append((key, value))
    return pairs


def where_of(given: Sequence[str] | None) -> dict[str, list[Any]] | None:
    """Return the filter of --where: a list of allowed values for each key.

    A word that is also a number, true, false or null matches both: metadata from tables can hold
    numbers.

    Raises:
        ConfigError: A word is not KEY=VALUE.
    """
    if not given:
        return None
    wanted: dict[str, list[Any]] = {}
    for key, word in pairs_of(given, "--where"):
        values = wanted.setdefault(key, [])
        values.append(word)
        with suppress(ValueError):
            value = json.loads(word)
            if value is None or isinstance(value, bool | int | float):
                values.append(value)
    return wanted


def where_images_of(
    cameras: Sequence[str] | None, first: str | None, last: str | None
) -> dict[str, Any] | None:
    """Return the filter of --camera, --taken-from and --taken-to."""
    wanted: dict[str, Any] = {}
    if cameras:
        wanted["camera"] = list(cameras)
    if first is not None or last is not None:
        wanted["taken"] = {"from": first, "to": last}
    return wanted or None


def names_in(given: str | None) -> list[str]:
    """Return the names in an option such as site,role."""
    return [name.strip() for name in (given or "").split(",") if name.strip()]


def of_tracks(faces: "EmbeddingSet", column: str | None) -> "EmbeddingSet":
    """Return embeddings with the images of each track pooled into one; None: as they are.

    The rows' `path`, by which a gallery names an enrolled image, is the name of the track.

    Raises:
        EvaluationError: The column does not exist or is empty, or a track has two people.
    """
    if column is None:
        return faces
    from dataclasses import replace

    from facever.core.console import say
    from facever.evaluation.protocols.templates import template_set

    made = template_set(faces, column)
    pooled = int(made.rows[["images", "failed_images"]].to_numpy().sum())
    without = f", {len(faces) - pooled} without one left out" if len(faces) > pooled else ""
    say(f"{counted(pooled, 'image')} pooled into {counted(len(made), 'track')}{without}")
    return replace(made, rows=made.rows.assign(path=made.rows["template"]))


def counted(count: int, one: str) -> str:
    """Return a count with its noun: 1 image, 2 images, 3 new people."""
    several = f"{one.removesuffix('person')}people" if one.endswith("person") else f"{one}s"
    return f"{count} {one if count == 1 else several}"
