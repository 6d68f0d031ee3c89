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
)

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Create, fill and ask a gallery of people.",
)
app.command()(creating.create)
app.command()(enrolling.enroll)
app.command()(asking.search)
app.command()(asking.verify)
app.command()(changing.update)
app.command()(removing.remove)
app.command()(removing.purge)
app.command()(changing.merge)
app.command()(changing.split)
app.command()(thresholds.threshold)
app.command()(thresholds.calibration)
app.command()(showing.info)
app.command()(showing.people)
app.command()(showing.images)
app.command()(showing.audit)
app.command()(keeping.check)
app.command()(keeping.rebuild)
app.command()(keeping.export)
app.command("import")(enrolling.import_)
app.command()(migrating.migrate)
