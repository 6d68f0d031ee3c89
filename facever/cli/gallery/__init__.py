"""`facever gallery`: keep a gallery of people. One file per group of verbs."""

import typer

from facever.cli.gallery import (
    creating,
    edits,
    enrolling,
    maintenance,
    migrating,
    removing,
    search,
    showing,
    thresholds,
    tuning,
)

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Create, fill, search and maintain a gallery of people.",
)

for _name, _verb, _line in (
    ("create", creating.create, "Make an empty gallery, bound to a model."),
    ("enroll", enrolling.enroll, "Add images of people."),
    ("search", search.search, "Find the people who are nearest to each image (1:N)."),
    ("verify", search.verify, "Say whether an image shows a person (1:1)."),
    ("update", edits.update, "Change what is known of a person, or their id."),
    ("remove", removing.remove, "Remove people, or an image of a person."),
    ("purge", removing.purge, "Remove the last bytes of what was removed."),
    ("merge", edits.merge, "Make two ids one person."),
    ("split", edits.split, "Make one id two people."),
    ("threshold", thresholds.threshold, "List, add or remove operating points."),
    ("calibration", thresholds.calibration, "List, add or remove calibrations."),
    ("info", showing.info, "Show the model that it is bound to, its settings and counts."),
    ("people", showing.people, "List the people."),
    ("images", showing.images, "List what is known of a person and their images."),
    ("audit", showing.audit, "List what was removed, and when."),
    ("check", maintenance.check, "Check the whole gallery and list what is damaged."),
    (
        "rebuild",
        maintenance.rebuild,
        "Rebuild the index; change templates, storage or kind of index.",
    ),
    ("export", maintenance.export, "Write all people as an embedding set."),
    ("import", enrolling.import_, "Enroll everybody of an export."),
    ("migrate", migrating.migrate, "Move to another model."),
):
    app.command(_name, short_help=_line)(_verb)
app.command(cls=tuning.MANY_KINDS, short_help="Compare kinds of index on its people.")(tuning.tune)
