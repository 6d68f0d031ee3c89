"""`facever doctor`: the state of the installation, for a bug report."""

import typer

from facever.cli.options import AsJson

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Print versions, engines, memory and models, and test the installation for two seconds.

    Paste the output into a bug report: it names no person, no host and nothing of your data. Exit
    status 1: a test failed.
    """
    from facever.cli.evaluate.shared import show
    from facever.doctor import diagnose

    found = diagnose()
    show(found, as_json)
    if not found.passed:
        raise typer.Exit(1)
