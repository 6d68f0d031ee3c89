"""`facever gallery`: keep a gallery of people. One file per group of verbs."""

import typer

from facever.cli.gallery import (
    asking,
    changing,
    creating,
    enrolling,
    keeping,
    migrating,
    removing,
    showing,
    thresholds,
    tuning,
)

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Create, fill, ask and keep a gallery of people.",
)

for _name, _verb, _line in (
    ("create", creating.create, "Make an empty gallery, bound to a model."),
    ("enroll", enrolling.enroll, "Add images of people."),
    ("search", asking.search, "Find the people who are nearest to each image (1:N)."),
    ("verify", asking.verify, "Say whether an image shows a person (1:1)."),
    ("update", changing.update, "Change what is known of a person, or their id."),
    ("remove", removing.remove, "Remove people, or an image of a person."),
    ("purge", removing.purge, "Remove the last bytes of what was removed."),
    ("merge", changing.merge, "Make two ids one person."),
    ("split", changing.split, "Make one id two people."),
    ("threshold", thresholds.threshold, "List, add or remove operating points."),
    ("calibration", thresholds.calibration, "List, add or remove calibrations."),
    ("info", showing.info, "Say what a gallery is bound to and holds."),
    ("people", showing.people, "List the people."),
    ("images", showing.images, "List what is known of a person and their images."),
    ("audit", showing.audit, "List what was removed, and when."),
    ("check", keeping.check, "Look at everything, and say what is wrong."),
    ("rebuild", keeping.rebuild, "Make the index anew; change templates, storage, index."),
    ("export", keeping.export, "Write everybody as an embedding set."),
    ("import", enrolling.import_, "Take all of an export in."),
    ("migrate", migrating.migrate, "Move to another model."),
):
    app.command(_name, short_help=_line)(_verb)
app.command(cls=tuning.MANY_KINDS, short_help="Try kinds of index on it.")(tuning.tune)
