"""Arms of an experiment compared in pairs: the cells of a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from judged import difference_over_seeds, interval_over_people
from tables import interval_text

from facever.evaluation.statistics.paired import holm

Records = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""The records of judged.py, by arm and seed."""

HEADERS = ["over seeds [95 %]", "p (Holm)", "over test people [95 %]"]


def comparisons(
    records: Records, pairs: Sequence[tuple[str, str]], figure: str
) -> dict[tuple[str, str], list[str]]:
    """Return the cells of `HEADERS` for each pair (arm, base) whose records are there.

    Args:
        records: Of all arms.
        pairs: What is compared: arm minus base. p is corrected for all of them.
        figure: Name of a figure of the records.
    """
    there = [pair for pair in pairs if pair[0] in records and pair[1] in records]
    found = {
        (arm, base): difference_over_seeds(records[base], records[arm], figure)
        for arm, base in there
    }
    tested = {pair: difference.p for pair, difference in found.items() if difference is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    cells = {}
    for (arm, base), difference in found.items():
        seen = "-"
        if difference is not None:
            seen = f"{difference.mean:+.3f} {interval_text(difference.interval)}"
        p = f"{corrected[arm, base]:.2g}" if (arm, base) in corrected else "-"
        people = interval_over_people(records[base], records[arm], figure)
        cells[arm, base] = [seen, p, interval_text(people)]
    return cells
