"""`facever gallery`: create, search and maintain galleries. One file per group of verbs."""

import typer

from facever.cli.gallery import (
    copying,
    creating,
    crops,
    edits,
    enrolling,
    equivalence,
    expiring,
    maintenance,
    migrating,
    removing,
    search,
    showing,
    thresholds,
    tuning,
    uses,
)

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Create, fill, search and maintain a gallery of people.",
)

for _name, _verb, _line in (
    ("create", creating.create, "Create an empty gallery, bound to a model."),
    ("enroll", enrolling.enroll, "Add images of people."),
    ("search", search.search, "Find the most similar people for each image (1:N)."),
    ("verify", search.verify, "Decide whether an image shows a given person (1:1)."),
    ("update", edits.update, "Change a person's metadata or id."),
    ("remove", removing.remove, "Remove people, or an image of a person."),
    (
        "purge",
        removing.purge,
        "Erase the remaining bytes of removed data from the gallery's files.",
    ),
    ("expire", expiring.expire, "Remove people whose time in the gallery is over."),
    ("merge", edits.merge, "Combine two people into one."),
    ("split", edits.split, "Split one person into two."),
    ("threshold", thresholds.threshold, "List, add or remove operating points."),
    ("calibration", thresholds.calibration, "List, add or remove calibrations."),
    ("info", showing.info, "Show the gallery's model, settings and counts."),
    ("people", showing.people, "List the people."),
    ("images", showing.images, "List a person's metadata and images."),
    ("audit", showing.audit, "List removals with their time."),
    ("uses", uses.uses, "List what a service was asked, or erase rows of it."),
    ("check", maintenance.check, "Check the whole gallery and list damage."),
    (
        "rebuild",
        maintenance.rebuild,
        "Rebuild the index; change templates, storage or kind of index.",
    ),
    ("crops", crops.crops, "Show whether crops are kept; keep them from now on, or remove them."),
    ("copy", copying.copy, "Copy a gallery, between folders and PostgreSQL either way."),
    ("export", maintenance.export, "Write all people and images as an embedding set."),
    ("import", enrolling.import_, "Enroll all people of an export."),
    ("migrate", migrating.migrate, "Migrate to another model."),
    (
        "accept-equivalent",
        equivalence.accept_equivalent,
        "Use an exported model like the gallery's own, after a measurement.",
    ),
):
    app.command(_name, short_help=_line)(_verb)
app.command(cls=tuning.MANY_KINDS, short_help="Compare kinds of index on the gallery's people.")(
    tuning.tune
)
