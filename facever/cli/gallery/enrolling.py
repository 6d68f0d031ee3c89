"""`facever gallery enroll` and `import`: add images of people to a gallery."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from facever.cli.gallery.shared import (
    Model,
    OwnEngine,
    counted,
    names_in,
    of_tracks,
    pairs_of,
    print_json,
    totals,
    totals_after,
)
from facever.cli.gallery_address import Place
from facever.cli.options import AsJson, DataFolder, Device
from facever.cli.photo_options import (
    Detector,
    Face,
    MinQuality,
    Photos,
    Rotations,
    asked_of_photos,
    photos_of,
)

if TYPE_CHECKING:
    from facever.embeddings.embedding_set import EmbeddingSet
    from facever.gallery.answers import Enrollment
    from facever.models.loading import Engine

_DUPLICATES = typer.Option(help="Images that are already enrolled: skip, keep or refuse.")
Near = Annotated[
    float | None,
    typer.Option(
        help="Treat images above this cosine similarity to an enrolled one as duplicates."
    ),
]
Conflicts = Annotated[
    str, typer.Option(help="Faces that match another person: ignore, warn or refuse.")
]
ConflictPoint = Annotated[
    str | None,
    typer.Option(
        help="The gallery's operating point for --conflicts. [default: its only 1:N one, else its "
        "only 1:1 one]"
    ),
]
_EXAMPLES = 3  # listed in one line


def enroll(
    gallery: Place,
    given: Annotated[
        list[str],
        typer.Argument(
            metavar="EMBEDDINGS|IMAGES...",
            help="An embedding set; or with --model a folder per person, a table, a data set's "
            "name, or with --person images and folders of one person.",
        ),
    ],
    model: Model = None,
    person: Annotated[
        str | None,
        typer.Option(help="Id of the one person shown in all of the images."),
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(help="With --person: KEY=VALUE metadata of the person. Repeatable."),
    ] = None,
    metadata_columns: Annotated[
        str | None,
        typer.Option(help="Columns to store as metadata of the people, such as site,role."),
    ] = None,
    duplicates: Annotated[str, _DUPLICATES] = "skip",
    near: Near = None,
    conflicts: Conflicts = "warn",
    conflict_point: ConflictPoint = None,
    quality: Annotated[
        str | None,
        typer.Option(
            help="The column with the weight of each image, for --templates quality_mean. "
            "[default: quality, if present]"
        ),
    ] = None,
    templates: Annotated[
        str | None,
        typer.Option(
            help="Of an embedding set: enroll the images of a track as one; the column with the "
            "track's name."
        ),
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(
            help="Camera that took the images. [default: the column camera, if present]",
            show_default=False,
        ),
    ] = None,
    taken: Annotated[
        str | None,
        typer.Option(
            help="Time when the images were taken: ISO 8601 with an offset from UTC. [default: the "
            "column taken, if present]",
            show_default=False,
        ),
    ] = None,
    photos: Photos = None,
    face: Face = None,
    min_quality: MinQuality = None,
    rotations: Rotations = False,
    detector: Detector = None,
    data: DataFolder = None,
    device: Device = "auto",
    engine: OwnEngine = None,
    as_json: AsJson = False,
) -> None:
    """Add images of people. On an error, nothing is added.

    Images that cannot be read and photos without a face are skipped and listed.
    """
    from dataclasses import replace

    from facever.errors import ConfigError
    from facever.gallery.gallery import Gallery

    if metadata and person is None:
        raise ConfigError("--metadata applies to one person: give --person")
    if model is None and (data, device, engine) != (None, "auto", None):
        raise ConfigError(
            "--data, --device and --engine apply to images: give --model, or omit them"
        )
    if model is not None and templates is not None:
        raise ConfigError(
            "--templates applies to an embedding set: omit --model, or omit --templates"
        )
    how = photos, face, min_quality, rotations, detector
    if model is None and asked_of_photos(how):
        raise ConfigError("--photos and its options apply to images: give --model, or omit them")
    columns = names_in(metadata_columns)
    rules: dict[str, Any] = {
        "cameras": camera,
        "taken": taken,
        "metadata": {person: dict(pairs_of(metadata, "--metadata"))} if metadata else {},
        "duplicates": duplicates,
        "near": near,
        "conflicts": conflicts,
        "conflict_point": conflict_point,
    }
    with Gallery.open(gallery) as opened:
        before = totals(opened)
        if model is None:
            from facever.gallery.columns import metadata_of, with_quality

            faces = of_tracks(_embeddings_in(given), templates)
            rows = with_quality(faces.rows, quality)
            rules["metadata"] = metadata_of(rows, columns, person, rules["metadata"])
            done = opened.enroll(replace(faces, rows=rows), person, **rules)
        else:
            from facever.data.sources import gather
            from facever.recognizer import Recognizer

            images = gather(given, person, data)  # checked before the model is loaded
            chosen = cast("Engine | None", engine)
            recognizer = Recognizer.load(model, opened, device=device, engine=chosen)
            recognizer.photos = photos_of(recognizer.model, *how)
            rules |= {"metadata_columns": columns, "quality": quality}
            done = recognizer.enroll(images, person, **rules)
        now = totals_after(opened, before)
    _show(done, opened.path, now, as_json)


def import_(
    gallery: Place,
    given: Annotated[
        Path, typer.Argument(metavar="EXPORT", help="A folder made by facever gallery export.")
    ],
    duplicates: Annotated[
        str | None,
        typer.Option(
            help="Images that are already enrolled: skip, keep or refuse. [default: skip; an "
            "empty gallery accepts all]"
        ),
    ] = None,
    near: Near = None,
    conflicts: Conflicts = "warn",
    conflict_point: ConflictPoint = None,
    as_json: AsJson = False,
) -> None:
    """Add all people of an export to a gallery of the same model. On an error, nothing is added.

    To create a new gallery for it: facever gallery create DIR --from-embeddings EXPORT.
    """
    from facever.gallery.gallery import Gallery

    rules: dict[str, Any] = {
        "duplicates": duplicates,
        "near": near,
        "conflicts": conflicts,
        "conflict_point": conflict_point,
    }
    with Gallery.open(gallery) as opened:
        before = totals(opened)
        done = opened.import_(given, **rules)
        now = totals_after(opened, before)
    _show(done, opened.path, now, as_json)


def _show(done: "Enrollment", gallery: Path | str, now: dict[str, int], as_json: bool) -> None:
    _tell(done)
    if as_json:
        print_json({**done.to_dict(), "gallery": str(gallery), "total": now})
        return
    print(f"enrolled: {counted(done.images, 'image')}, {counted(done.new_people, 'new person')}")
    if done.failed:
        print(f"failed:   {done.failure_to_acquire.told('FTA')} images")
        print(f"          {done.failure_to_enrol.told('FTE')} people not enrolled")
    print(f"gallery:  {now['images']} images of {now['people']} people in {gallery}")


def _embeddings_in(given: list[str]) -> "EmbeddingSet":
    """Open the embedding set given without --model."""
    from facever.embeddings.embedding_set import META, EmbeddingSet
    from facever.errors import DataError

    path = Path(given[0])
    if len(given) > 1:
        raise DataError("without --model, give exactly one embedding set")
    if not (path / META).is_file():
        what = f"{path} is not an embedding set" if path.exists() else f"no such path: {path}"
        raise DataError(f"{what}; to enroll images, give --model MODEL")
    return EmbeddingSet.load(path)


def _tell(done: "Enrollment") -> None:
    """Report skipped images, duplicates and conflicts, each in one line."""
    from facever.core.console import say, warn
    from facever.gallery.records import shown

    reasons = [
        reason if source in reason else f"{source}: {reason}" for source, reason in done.failed
    ]
    if reasons:
        warn(f"not enrolled: {_some(reasons)}")
    same = [d for d in done.duplicates if d.known_as == d.person]
    other = [d for d in done.duplicates if d.known_as != d.person]
    if same:
        say(f"already enrolled: {_some([d.what() for d in same])}")
    if done.conflicts:
        warn(
            "enrolled although another person matches: "
            + _some(
                [
                    f"{c.what()} of {shown(c.person)} matches {shown(c.matches)}, {c.score:.4f}"
                    for c in done.conflicts
                ]
            )
        )
    if done.note:
        say(done.note)
    if other:
        warn(
            "already enrolled as another person: "
            + _some([f"{d.what()} of {shown(d.person)} as {shown(d.known_as)}" for d in other])
        )


def _some(what: list[str]) -> str:
    """Return the count and the first few."""
    count = counted(len(what), "image")
    more = ", ..." if len(what) > _EXAMPLES else ""
    return f"{count} ({', '.join(what[:_EXAMPLES])}{more})"
