"""Whom a model was trained on and is measured on: every overlap is named."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

_NAMED = 10


@dataclass(frozen=True)
class Overlap:
    """People of the trials on whom the model was trained.

    Attributes:
        identities: The names that occur in both, sorted; None where it is not known whom the
            model was trained on. Equal names count as one person, whatever the data set.
        people: How many people the trials have.
        datasets: The data sets of the training in which the names occur.
        trials_share: The share of trials with such a person.
    """

    identities: list[str] | None
    people: int
    datasets: list[str]
    trials_share: float | None

    def __bool__(self) -> bool:
        return bool(self.identities)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; only the first names are listed."""
        return {
            "known": self.identities is not None,
            "identities": None if self.identities is None else len(self.identities),
            "of": self.people,
            "first": (self.identities or [])[:_NAMED],
            "datasets": self.datasets,
            "trials_share": self.trials_share,
        }

    def __str__(self) -> str:
        if self.identities is None:
            return "not known: the embeddings do not say whom the model was trained on"
        if not self.identities:
            return f"none: the model was trained on none of the {self.people} people"
        names = ", ".join(self.identities[:3]) + (", ..." if len(self.identities) > 3 else "")
        share = "" if self.trials_share is None else f", in {self.trials_share:.0%} of the trials"
        return (
            f"the model was trained on {len(self.identities)} of the {self.people} people "
            f"({names}; from {', '.join(self.datasets)}){share}"
        )


def shared_people(trained_on: pd.DataFrame | None, people: Iterable[str]) -> list[str] | None:
    """Return the people that the model was trained on, sorted; None where not known."""
    if trained_on is None:
        return None
    return sorted(set(trained_on["identity"].astype(str)) & set(people))


def find_overlap(
    trained_on: pd.DataFrame | None, people: Iterable[str], trials_share: float | None
) -> Overlap:
    """Name everyone in both the training and the trials.

    Args:
        trained_on: Columns identity and dataset, or None where not known.
        people: The identities of the trials.
        trials_share: The share of trials with such a person.
    """
    names = set(people)
    shared = shared_people(trained_on, names)
    if trained_on is None or shared is None:
        return Overlap(None, len(names), [], None)
    rows = trained_on[trained_on["identity"].astype(str).isin(shared)]
    return Overlap(shared, len(names), sorted(rows["dataset"].astype(str).unique()), trials_share)
