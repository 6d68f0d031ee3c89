"""`facever gallery uses`: the log of what a service was asked."""

from datetime import datetime
from typing import Annotated

import typer

from facever.cli.gallery.shared import print_json
from facever.cli.gallery_address import Place
from facever.cli.options import AsJson


def uses(
    gallery: Place,
    person: Annotated[str | None, typer.Option(help="Only answers of this person.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only questions answered then or later (UTC).")
    ] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Only the newest rows.")] = None,
    erase: Annotated[
        str | None, typer.Option(metavar="PERSON", help="Erase the rows of a person.")
    ] = None,
    erase_before: Annotated[
        datetime | None, typer.Option(help="Erase the rows that ended before (UTC).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the log of uses, or erase rows of it.

    A row is one question and its answer: when, who asked, what kind, the person, the score, what
    decided, the model, and a keyed hash of the image. There is no image and no vector. A removed
    person's rows have a random word in the place of the id.
    """
    from facever.core.console import printable
    from facever.errors import ConfigError
    from facever.gallery.gallery import Gallery
    from facever.gallery.place import place_of
    from facever.gallery.records import shown
    from facever.gallery.uses import UseLog
    from facever.render.text import table

    erases = erase is not None or erase_before is not None
    if erases and (person is not None or since is not None or last is not None):
        raise ConfigError(
            "--erase and --erase-before erase rows: omit --person, --since and --last"
        )
    with Gallery.open(gallery):
        log = UseLog.existing(place_of(gallery))
    if log is None:
        if erases or as_json:
            print_json({"erased": 0} if erases else []) if as_json else print("0 rows were erased")
        else:
            print("no uses: no service has answered for this gallery")
        return
    with log:
        if erases:
            erased = 0 if erase is None else log.erase(erase)
            if erase_before is not None:
                erased += log.erase_before(erase_before.isoformat(timespec="seconds"))
            log.purge()
            print_json({"erased": erased}) if as_json else print(f"{erased:,} rows were erased")
            return
        first = None if since is None else since.isoformat(timespec="seconds")
        found = log.rows(person, first, last)
    if as_json:
        print_json([one.to_dict() for one in found])
        return
    rows = [
        (
            one.ended,
            printable(one.caller),
            one.kind,
            one.outcome,
            "" if one.person is None else shown(one.person),
            "" if one.score is None else f"{one.score:.4f}",
            one.point or "",
        )
        for one in found
    ]
    print(table(["ended", "caller", "kind", "outcome", "person", "score", "decided by"], rows))
