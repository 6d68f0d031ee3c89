"""The report page of a bake-off."""

from facever.render.page import Report, Tile
from facever.studies.bakeoff.result import BakeoffResult


def report(result: BakeoffResult) -> Report:
    """Return the page: the headline, and the description of the result."""
    found = [verdict for verdict in result.verdicts if all(verdict.resolved.values())]
    return Report(
        title=f"Bake-off of {len(result.heads)} heads",
        verdict=f"{len(found)} of {len(result.verdicts)} differences from {result.baseline} "
        "resolved",
        meaning="A difference is resolved if its intervals over seeds and over test people both "
        "exclude zero.",
        tiles=[
            Tile("heads", str(len(result.heads)), f"baseline {result.baseline}"),
            Tile("seeds", str(len(result.seeds)), "the same for every head"),
            Tile("test people", f"{result.people:,}", result.test),
            Tile("impostor trials", f"{result.impostor:,}", f"{result.genuine:,} genuine"),
        ],
        sections=result.describe(),
    )
