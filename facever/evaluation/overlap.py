"""Whom a model was trained on and is measured on: every overlap is named."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pandas as pd

from facever.evaluation.columns import comparable_column, people_column
from facever.render.values import Record

_NAMED = 10


@dataclass(frozen=True)
class Overlap(Record):
    """People of the trials on whom the model was trained.

    Attributes:
        identities: The names that occur in both, sorted; None where it is not known whom the
            model was trained on. Equal names count as one person, whatever the data set and
            however either side encodes them (NFC, without space around).
        people: How many people the trials have.
        datasets: The data sets of the training in which the names occur.
        trials_share: The share of trials with such a person.
        chosen_on: The people of the trials by whom thresholds and checkpoints were chosen, without
            training on them.
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
        """What a figure that stands alone must say; empty where no person of the trials is known
        to have been used."""
        if self.identities:
            return f"trained on {len(self.identities):,} of the {self.people:,} people"
        if self.chosen_on:
            return f"choices were made on {len(self.chosen_on):,} of the {self.people:,} people"
        return ""

    @property
    def known(self) -> bool:
        """Whether it is known whom the model was trained on."""
        return self.identities is not None

    @property
    def count(self) -> int | None:
        """How many people occur in both; None where it is not known."""
        return None if self.identities is None else len(self.identities)

    @property
    def first(self) -> list[str]:
        """The first names that occur in both."""
        return (self.identities or [])[:_NAMED]

    @property
    def chosen_on_count(self) -> int:
        """How many people choices were made on."""
        return len(self.chosen_on)

    def __str__(self) -> str:
        if self.identities is None:
            return "not known: the embeddings do not say whom the model was trained on"
        chosen = f"; choices were made on {len(self.chosen_on)} of them" if self.chosen_on else ""
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
    """Return the people of whom the training made this use, sorted; None where not known.

    Args:
        trained_on: Columns identity and dataset, and use ("train" or "development") where people
            are listed whom only choices were made on; or None where not known.
        people: The identities of the trials.
        use: Which of the two.
    """
    if trained_on is None:
        return None
    listed = people_column(_used(trained_on, use)["identity"])
    return sorted(set(listed.dropna()) & set(people_column(list(people))))


def find_overlap(
    trained_on: pd.DataFrame | None, people: Iterable[str], trials_share: float | None
) -> Overlap:
    """Name everyone in both the training and the trials.

    Args:
        trained_on: As for `shared_people`.
        people: The identities of the trials.
        trials_share: The share of trials with a person whom the model was trained on.
    """
    names = set(people_column(list(people)))
    shared = shared_people(trained_on, names)
    if trained_on is None or shared is None:
        return Overlap(None, len(names), [], None)
    rows = _used(trained_on, "train")
    rows = rows[people_column(rows["identity"]).isin(shared).to_numpy()]
    chosen_on = shared_people(trained_on, names, "development") or []
    datasets = sorted(comparable_column(rows["dataset"]).dropna().unique())
    return Overlap(shared, len(names), datasets, trials_share, chosen_on)


def _used(trained_on: pd.DataFrame, use: str) -> pd.DataFrame:
    if "use" not in trained_on:
        return trained_on if use == "train" else trained_on.iloc[:0]
    return trained_on[(comparable_column(trained_on["use"]) == use).to_numpy()]
