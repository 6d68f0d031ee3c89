"""`facever gallery enroll`: people's images into a gallery."""

from typing import TYPE_CHECKING, Annotated, Optional, cast

import typer

from facever.cli.gallery.shared import (
    AsJson,
    Data,
    Device,
    Folder,
    Model,
    names_in,
    pairs_of,
    print_json,
    totals,
)

if TYPE_CHECKING:
    from facever.gallery.answers import Enrollment
    from facever.gallery.records import Duplicates

_EXAMPLES = 3  # of what is said in one line


def enroll(
    gallery: Folder,
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
        Optional[str],  # noqa: UP045 - typer reads the annotation
        typer.Option(help="Whom all of the images show."),
    ] = None,
    metadata: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="With --person: KEY=VALUE to keep of the person. Repeatable."),
    ] = None,
    metadata_columns: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Columns to keep of the people, such as site,role."),
    ] = None,
    duplicates: Annotated[
        str, typer.Option(help="Images that are there already: skip, keep or refuse.")
    ] = "skip",
    data: Data = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Add images of people: all of them, or on any error none."""
    from facever.errors import ConfigError
    from facever.gallery.gallery import Gallery
    from facever.workflows import enrollment

    if metadata and person is None:
        raise ConfigError("--metadata is about one person: name them with --person")
    policy = cast("Duplicates", duplicates)
    with Gallery.open(gallery) as opened:
        if model is None:
            faces = enrollment.embeddings_of(given)
            rows = faces.rows
        else:
            manifest = enrollment.manifest_of(given, person, data)
            rows = manifest.frame
        about = enrollment.metadata_of(rows, names_in(metadata_columns), person)
        if person is not None and metadata:
            about.setdefault(person, {}).update(pairs_of(metadata, "--metadata"))
        if model is None:
            done = opened.enroll(faces, person, metadata=about, duplicates=policy)
        else:
            extractor = enrollment.gallerys_extractor(opened, model, device)
            done = enrollment.enroll_images(
                opened, extractor, manifest, metadata=about, duplicates=policy
            )
        now = totals(opened)
    _tell(done)
    if as_json:
        print_json({**done.to_dict(), "gallery": str(gallery), "total": now})
        return
    print(f"enrolled: {done.images} images, {done.new_people} new people")
    print(f"gallery:  {now['images']} images of {now['people']} people in {gallery}")


def _tell(done: "Enrollment") -> None:
    """Say what was left out and what is strange, each in one line."""
    from facever.console import say, warn
    from facever.gallery.records import shown

    reasons = [
        reason if source in reason else f"{source}: {reason}" for source, reason in done.failed
    ]
    if reasons:
        warn(f"not enrolled: {_some(reasons)}")
    same = [d for d in done.duplicates if d.known_as == d.person]
    other = [d for d in done.duplicates if d.known_as != d.person]
    if same:
        say(f"there already: {_some([d.what() for d in same])}")
    if other:
        warn(
            "there already, as another person: "
            + _some([f"{d.what()} of {shown(d.person)} as {shown(d.known_as)}" for d in other])
        )


def _some(what: list[str]) -> str:
    """Return a count and the first few."""
    count = "1 image" if len(what) == 1 else f"{len(what)} images"
    more = ", ..." if len(what) > _EXAMPLES else ""
    return f"{count} ({', '.join(what[:_EXAMPLES])}{more})"
