"""`facever gallery info`, `people`, `images` and `audit`: show a gallery's contents and history."""

from typing import Annotated

import typer

from facever.cli.gallery.shared import Person, Where, print_info, print_json, where_of
from facever.cli.gallery_address import Place
from facever.cli.options import AsJson

_WENT = {
    "remove": "removed",
    "merge": "not removed, but merged into another person",
    "rename": "not removed, but renamed",
    None: "never removed",
}


def info(gallery: Place, as_json: AsJson = False) -> None:
    """Show a gallery's model, settings and counts."""
    from facever.gallery.gallery import Gallery

    with Gallery.open(gallery) as opened:
        print_info(opened, as_json)


def people(gallery: Place, where: Where = None, as_json: AsJson = False) -> None:
    """List the people in order of enrolment, with their number of images."""
    from facever.gallery.gallery import Gallery
    from facever.gallery.records import shown
    from facever.render.text import table

    with Gallery.open(gallery) as opened:
        found = list(opened.people(where_of(where)))
    if as_json:
        print_json([{"person": one.person, "images": one.images} for one in found])
        return
    print(table(["images", "person"], [(one.images, shown(one.person)) for one in found]))


def images(gallery: Place, person: Person, as_json: AsJson = False) -> None:
    """List a person's metadata and images."""
    from facever.gallery.gallery import Gallery
    from facever.gallery.records import shown
    from facever.render.text import table

    with Gallery.open(gallery) as opened:
        known, found = opened.metadata(person), opened.images(person)
    if as_json:
        listed = [image.to_dict() for image in found]
        print_json({"person": person, "metadata": known, "images": listed})
        return
    for key, value in known.items():
        print(f"{shown(key)}: {shown(str(value))}")
    seen = any(image.camera or image.taken for image in found)
    rows = []
    for image in found:
        texts = [image.camera, image.taken, image.source] if seen else [image.source]
        cells = ("" if text is None else shown(text) for text in texts)
        rows.append((image.image, image.enrolled, *cells))
    print(table(["image", "enrolled", *(["camera", "taken"] if seen else []), "source"], rows))


def audit(
    gallery: Place,
    person: Annotated[
        str | None,
        typer.Option(help="Report only whether and when this id was removed, merged or renamed."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List removals with their time. Ids are stored as codes that do not reveal the person.

    With --person the exit status is 0 if the id was removed, else 1. A merged or renamed person is
    still in the gallery, with another id.
    """
    from facever.gallery.gallery import Gallery
    from facever.gallery.records import shown
    from facever.render.text import table

    with Gallery.open(gallery) as opened:
        entries = opened.audit() if person is None else []
        went = opened.removed(person) if person is not None else None
    if person is not None:
        action, time = (went.action, went.time) if went is not None else (None, None)
        removed = time if action == "remove" else None
        if as_json:
            print_json({"person": person, "removed": removed, "action": action, "time": time})
        else:
            print(f"{shown(person)}: {_WENT[action]} {time or ''}".rstrip())
        raise typer.Exit(int(removed is None))
    if as_json:
        print_json([entry.to_dict() for entry in entries])
        return
    rows = [(one.time, one.action, one.images, one.person[:16]) for one in entries]
    print(table(["time", "action", "images", "code"], rows))
