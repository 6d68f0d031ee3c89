"""Overlap between the people of a training and the people of the trials."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pandas as pd

from facever.embeddings.coded_people import known_as
from facever.evaluation.columns import comparable_column, people_column
from facever.render.values import Record

_NAMED = 10


@dataclass(frozen=True)
class Overlap(Record):
    """People of the trials that the model was trained on.

    Attributes:
        identities: The common names, sorted; None if the training data is unknown. Equal names
            count as one person in all data sets, after normalisation (NFC, no space around).
        people: Number of people in the trials.
        datasets: The training data sets in which the names occur.
        trials_share: The share of trials with such a person.
        chosen_on: The people of the trials that were used to select thresholds and checkpoints,
            but not for training.
    """

    identities: list[str] | None
    people: int
    datasets: list[str]
    trials_share: float | None
    chosen_on: list[str] = field(default_factory=list)

    json_keys = (
        "known identities=count of=people first datasets trials_share chosen_on=chosen_on_count"
    )

    def __bool__(self) -> bool:
        return bool(self.identities)

    @property
    def brief(self) -> str:
        """The note that every headline figure must carry; empty without known overlap."""
        if self.identities:
            return f"trained on {len(self.identities):,} of the {self.people:,} people"
        if self.chosen_on:
            return f"{len(self.chosen_on):,} of the {self.people:,} people were used for selection"
        return ""

    @property
    def known(self) -> bool:
        """Whether the training data is known."""
        return self.identities is not None

    @property
    def count(self) -> int | None:
        """Number of people in both; None if unknown."""
        return None if self.identities is None else len(self.identities)

    @property
    def first(self) -> list[str]:
        """The first of the common names."""
        return (self.identities or [])[:_NAMED]

    @property
    def chosen_on_count(self) -> int:
        """Number of people in `chosen_on`."""
        return len(self.chosen_on)

    def __str__(self) -> str:
        if self.identities is None:
            return "unknown: the embeddings do not record the training data of the model"
        chosen = (
            f"; {len(self.chosen_on)} of them were used for selection" if self.chosen_on else ""
        )
        if not self.identities:
            return f"none: the model was trained on none of the {self.people} people{chosen}"
        names = ", ".join(self.identities[:3]) + (", ..." if len(self.identities) > 3 else "")
        share = "" if self.trials_share is None else f", in {self.trials_share:.0%} of the trials"
        return (
            f"the model was trained on {len(self.identities)} of the {self.people} people "
            f"({names}; from {', '.join(self.datasets)}){share}{chosen}"
        )


def shared_people(
    trained_on: pd.DataFrame | None, people: Iterable[str], use: str = "train"
) -> list[str] | None:
    """Return the people of the trials with this use in the training, sorted; None if unknown.

    Args:
        trained_on: Columns identity (a name or a code, see `facever.embeddings.coded_people`) and
            dataset, and use ("train" or "development") if development people are listed; None if
            unknown.
        people: The identities of the trials.
        use: "train" or "development".
    """
    if trained_on is None:
        return None
    listed = people_column(_used(trained_on, use)["identity"])
    return sorted(set(known_as(listed.dropna(), people_column(list(people))).values()))


def find_overlap(
    trained_on: pd.DataFrame | None, people: Iterable[str], trials_share: float | None
) -> Overlap:
    """Find the people that are both in the training and in the trials.

    Args:
        trained_on: As for `shared_people`.
        people: The identities of the trials.
        trials_share: The share of trials with a person that the model was trained on.
    """
    names = set(people_column(list(people)))
    shared = shared_people(trained_on, names)
    if trained_on is None or shared is None:
        return Overlap(None, len(names), [], None)
    rows = _used(trained_on, "train")
    listed = people_column(rows["identity"])
    rows = rows[listed.isin(list(known_as(listed.dropna(), shared))).to_numpy()]
    chosen_on = shared_people(trained_on, names, "development") or []
    datasets = sorted(comparable_column(rows["dataset"]).dropna().unique())
    return Overlap(shared, len(names), datasets, trials_share, chosen_on)


def _used(trained_on: pd.DataFrame, use: str) -> pd.DataFrame:
    if "use" not in trained_on:
        return trained_on if use == "train" else trained_on.iloc[:0]
    return trained_on[(comparable_column(trained_on["use"]) == use).to_numpy()]
