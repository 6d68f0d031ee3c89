"""The result of a quickstart."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facever.core.console import duration
from facever.evaluation.one_to_one.verified import VerificationResult
from facever.gallery.answers import Verification
from facever.quickstart.photos import PhotosTried
from facever.render.blocks import Facts, List, Section
from facever.render.result import Result
from facever.studies.trial_gallery import SearchRates, SearchThreshold


@dataclass(frozen=True)
class Quickstart(Result):
    """Paths and figures of a quickstart.

    Attributes:
        folder, run, embeddings, gallery, report: Paths.
        result: Verification of people that were not used for training.
        searches: Counts of the search results.
        people: Number of enrolled people.
        searching: Operating point of the searches, or the reason why there is none.
        genuine, impostor: One probe against its own person, and against another.
        photos: Results of a public model on photos; None without photos.
        seconds: Total time.
        commands: Next commands to try.
    """

    folder: Path
    run: Path
    embeddings: Path
    gallery: Path
    report: Path
    result: VerificationResult
    searches: SearchRates
    people: int
    searching: SearchThreshold
    genuine: Verification
    impostor: Verification
    photos: PhotosTried | None
    seconds: float
    commands: list[str]

    json_keys = (
        "verification=result search=_search verify=_verify photos=_photos seconds folder run "
        "embeddings gallery report next=commands"
    )

    @property
    def _search(self) -> dict[str, Any]:
        return {
            "people": self.people,
            **asdict(self.searches),
            "operating_point": self.searching.point,
            "no_decision_because": self.searching.reason or None,
        }

    @property
    def _verify(self) -> dict[str, Any]:
        return {
            name: {"score": answer.scores[0], "same": answer.same and answer.same[0]}
            for name, answer in (("genuine", self.genuine), ("impostor", self.impostor))
        }

    @property
    def _photos(self) -> dict[str, Any] | None:
        return None if self.photos is None else self.photos.to_dict()

    def describe(self) -> list[Section]:
        """Return the figures, paths and next commands."""
        return [
            Section(
                "reached", "Results", [Facts(self._rows()), List("next commands:", self.commands)]
            )
        ]

    def _rows(self) -> list[tuple[str, str]]:
        """Return the figures and paths as text."""
        result, searches = self.result, self.searches
        rows = [
            (
                "trials",
                f"{result.trials.genuine:,} genuine and {result.trials.impostor:,} impostor pairs "
                f"of people not used for training",
            ),
            ("AUC", f"{result.auc.value:.4f}"),
            ("EER", f"{result.eer.value:.4f}"),
        ]
        for point in result.operating_points:
            interval = point.interval
            reached = f"{point.tar:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
            rows.append((f"TAR at FAR {point.far_target:g}", reached))
        rows.append(
            (
                "search: correct at rank 1",
                f"{searches.right_first:,} of {searches.mated:,} among {self.people:,} people",
            )
        )
        if self.searching.point is None:
            rows.append(("search: decision", f"none: {self.searching.reason}"))
        else:
            rows += [
                ("search: missed mates", f"{searches.missed:,} of {searches.mated:,}"),
                (
                    "search: false positives",
                    f"{searches.strangers_known:,} of {searches.nonmated:,}",
                ),
            ]
        rows += [
            (f"verify: {name}", f"{answer.scores[0]:.3f} -> {_decision(answer)}")
            for name, answer in (
                ("a genuine pair", self.genuine),
                ("an impostor pair", self.impostor),
            )
        ]
        if (tried := self.photos) is not None:
            rows.append(
                (
                    f"photos by {tried.model}",
                    f"faces in {tried.images - tried.failed:,} of {tried.images:,}; correct at "
                    f"rank 1 in {tried.right_first:,} of {tried.probes:,} searches among "
                    f"{tried.people:,} people",
                )
            )
            rows += [
                (f"photos: {name}", f"{pair.score:.3f} -> {_said(pair.same)}")
                for name, pair in (
                    ("a genuine pair", tried.genuine),
                    ("an impostor pair", tried.impostor),
                    ("the first two", tried.two),
                )
                if pair is not None
            ]
        return [
            *rows,
            ("time", duration(self.seconds)),
            ("model", str(self.run)),
            ("embeddings", str(self.embeddings)),
            ("gallery", str(self.gallery)),
            ("report", str(self.report)),
        ]


def _decision(answer: Verification) -> str:
    return _said(None if answer.same is None else answer.same[0])


def _said(same: bool | None) -> str:
    if same is None:
        return "no decision (no operating point)"
    return "same person" if same else "different people"
