"""The 1:N protocol of IJB-B and IJB-C: the mixed probes searched in each of two galleries.

A probe whose subject is in a gallery is mated for that gallery and non-mated for the other. The
mean of both galleries is reported and, for the closed set, both galleries as one.

Reference:
    Maze et al.: IARPA Janus Benchmark-C: face dataset and protocol, ICB 2018. Mean
    of two independent rates: Zou and Donner, Construction of confidence limits about effect
    measures, Statistics in Medicine 27, 2008 (MOVER).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from facever.data.readers.ijb import GALLERIES, PROBES
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError
from facever.evaluation.cells import errors, few_notes, level_of, rate_and_interval
from facever.evaluation.columns import comparable_column
from facever.evaluation.inputs import check_column, shared_codes
from facever.evaluation.one_to_many.identification import (
    DEFAULT_FPIRS,
    DEFAULT_RANKS,
    identification,
    searchable,
)
from facever.evaluation.one_to_many.identified import IdentificationResult, rank_intervals
from facever.evaluation.one_to_many.search import search
from facever.evaluation.protocols.templates import template_set
from facever.operating_point import Interval
from facever.render.blocks import Block, Cell, Facts, Figure, Note, Section, Table
from facever.render.numbers import count, far_text
from facever.render.result import Result
from facever.render.values import Record

PROTOCOL = "ijb-1n"
_METHOD = "MOVER"
Value = TypeVar("Value")


@dataclass(frozen=True)
class MeanRate(Record):
    """The mean of a rate over the galleries.

    Attributes:
        value: The mean.
        interval: Its interval; the galleries have different people, so that their rates are
            independent.
    """

    value: float
    interval: Interval


@dataclass(frozen=True)
class ClosedSet(Record):
    """The ranks of mates in all galleries as one.

    Attributes:
        people: Number of people in the gallery.
        mated: Number of mated probes.
        missed: Probes whose mate is not among the first, by rank.
        intervals: Intervals of the share of the others, by rank.
    """

    people: int
    mated: int
    missed: dict[int, int]
    intervals: dict[int, Interval]

    json_keys = "gallery_size=people probes.mated=mated missed cmc=_shares cmc_intervals=intervals"

    def rank(self, rank: int) -> float:
        """Return the share of mated probes with the mate among the first `rank`.

        Raises:
            EvaluationError: The rank was not measured.
        """
        return 1 - _of(self.missed, rank) / self.mated

    @property
    def _shares(self) -> dict[int, float]:
        return {rank: self.rank(rank) for rank in self.missed}


@dataclass(frozen=True)
class GalleriesResult(Result):
    """The results of IJB's 1:N protocol.

    Attributes:
        galleries: The result of each gallery by its name, such as "G1" and "G2".
        joined: The closed set with all galleries as one.
        templates, images: Numbers of pooled templates and of their images.
        dataset: Of the embeddings.
        warnings: Warnings for the reader.
    """

    galleries: dict[str, IdentificationResult]
    joined: ClosedSet
    templates: int
    images: int
    dataset: str = ""
    warnings: list[str] = field(default_factory=list)

    protocol = PROTOCOL
    json_keys = "protocol dataset templates images mean=_mean joined galleries warnings"

    def rank(self, rank: int) -> MeanRate:
        """Return the mean share of mated probes with the mate among the first `rank`.

        Raises:
            EvaluationError: The rank was not measured.
        """
        each = [_of(found.rank_intervals, rank) for found in self._each]
        return _mean_of([found.rank(rank) for found in self._each], each)

    def fnir(self, fpir: float, rank: int = 1) -> MeanRate:
        """Return the mean FNIR at a FPIR, with a threshold for each gallery.

        Raises:
            EvaluationError: The rank was not measured, or a gallery's probes cannot support the
                FPIR.
        """
        points = [found.at(fpir) for found in self._each]
        intervals = [_of(point.fnir_intervals, rank) for point in points]
        counted = zip(points, self._each, strict=True)
        return _mean_of([point.missed[rank] / found.mated for point, found in counted], intervals)

    def describe(self) -> list[Section]:
        """Return the mean over the galleries, and the result of each."""
        facts: list[tuple[str, Cell]] = [
            ("data set", self.dataset or "unnamed"),
            ("templates", f"{self.templates:,} of {self.images:,} images"),
        ]
        level = level_of(next(iter(self._each[0].rank_intervals.values())))
        headers = ["measure", "gallery", "rate", level, "missed", "mated probes"]
        rows = list(self._rows())
        blocks: list[Block] = [Facts(facts), Table("", headers, rows), *few_notes(rows)]
        for fpir in sorted(self._refused, reverse=True):
            text = f"FPIR {far_text(fpir)} has no mean: a gallery has too few non-mated probes"
            blocks.append(Note(text))
        blocks.append(Note(f"interval of a mean: {_METHOD}, of the intervals of the galleries"))
        names = " and ".join(self.galleries)
        sections = [Section(PROTOCOL, f"IJB 1:N, mean of {names}", blocks)]
        for name, found in self.galleries.items():
            for section in found.describe():
                kept = [block for block in section.blocks if not isinstance(block, Figure)]
                title = f"Gallery {name}"
                sections.append(replace(section, title=title, blocks=kept))
        return sections

    def _rows(self) -> Iterator[list[Cell]]:
        """Yield the rows of the table: each measure for each gallery and their mean."""
        for rank in self._each[0].ranks:
            for name, found in self.galleries.items():
                missed = round((1 - found.rank(rank)) * found.mated)
                interval = found.rank_intervals[rank]
                yield [f"rank {rank}", name, *_cells(found.rank(rank), interval, missed, found)]
            mean = self.rank(rank)
            yield [f"rank {rank}", "mean", *rate_and_interval(mean.value, mean.interval), "", ""]
            one, interval = self.joined, self.joined.intervals[rank]
            cells = _cells(one.rank(rank), interval, one.missed[rank], one)
            yield [f"rank {rank}", " + ".join(self.galleries), *cells]
        for fpir in self._fpirs:
            for rank in self._each[0].ranks:
                measure = f"FNIR at FPIR {far_text(fpir)}, rank {rank}"
                for name, found in self.galleries.items():
                    point = found.at(fpir)
                    missed, interval = point.missed[rank], point.fnir_intervals[rank]
                    yield [measure, name, *_cells(missed / found.mated, interval, missed, found)]
                mean = self.fnir(fpir, rank)
                yield [measure, "mean", *rate_and_interval(mean.value, mean.interval), "", ""]

    @property
    def _each(self) -> list[IdentificationResult]:
        return list(self.galleries.values())

    @property
    def _fpirs(self) -> list[float]:
        """The FPIRs that every gallery supports, largest first."""
        asked = [[point.fpir_target for point in found.points] for found in self._each]
        return [fpir for fpir in asked[0] if all(fpir in others for others in asked[1:])]

    @property
    def _refused(self) -> set[float]:
        return {each.far_target for found in self._each for each in found.refused}

    @property
    def _mean(self) -> dict[str, Any]:
        ranks = self._each[0].ranks
        return {
            "rank": {rank: self.rank(rank) for rank in ranks},
            "operating_points": [
                {"fpir_target": fpir, "fnir": {rank: self.fnir(fpir, rank) for rank in ranks}}
                for fpir in self._fpirs
            ],
        }


def ijb_identification(
    embeddings: EmbeddingSet,
    *,
    media: str | None = None,
    quality: str | None = None,
    fpir: Sequence[float] = DEFAULT_FPIRS,
    ranks: Sequence[int] = DEFAULT_RANKS,
    level: float = 0.95,
) -> GalleriesResult:
    """Measure IJB's 1:N protocol: search the probes in each gallery, by cosine of templates.

    Args:
        embeddings: Images with the columns `template`, `subset` ("G1" and "G2", or "S1" and "S2",
            and "probe") and `identity`, as embedded from a folder of the layout "ijb".
        media, quality: As for `template_set`.
        fpir: False positive identification rates at which FNIR is measured.
        ranks: Numbers of candidates that are considered.
        level: Confidence level of the intervals, which draw the probes' people.

    Raises:
        EvaluationError: A column or subset is missing, a template is in two subsets, or a person is
            in two galleries; also the errors of `template_set` and `identification`.
    """
    for column in ("template", "subset"):
        check_column(embeddings, column)
    subsets = comparable_column(embeddings.rows["subset"])
    names = [name for name in GALLERIES if (subsets == name).any()]
    if not names or not (subsets == PROBES).any():
        raise EvaluationError(
            f"{PROTOCOL} needs rows of the subset '{PROBES}' and of a gallery "
            f"({', '.join(GALLERIES)}): embed the whole folder with its 1:N lists"
        )
    used = subsets.isin([*names, PROBES]).to_numpy(bool)
    images = embeddings if used.all() else embeddings.select(used)  # a copy can take gigabytes
    pooled = template_set(images, media=media, quality=quality)
    if "subset" not in pooled.rows:
        raise EvaluationError("a template is in two subsets: it would be searched for in itself")
    of = comparable_column(pooled.rows["subset"]).to_numpy()
    probes, sides = pooled.select(of == PROBES), {name: pooled.select(of == name) for name in names}
    _check_disjoint(sides)
    found = {
        name: identification(probes, side, fpir=fpir, ranks=ranks, level=level)
        for name, side in sides.items()
    }
    warnings = [f"{name}: {text}" for name, result in found.items() for text in result.warnings]
    return GalleriesResult(
        galleries=found,
        joined=_closed_set(probes, list(sides.values()), ranks, level),
        templates=len(pooled),
        images=len(images),
        dataset=embeddings.meta.dataset,
        warnings=warnings,
    )


def _closed_set(
    probes: EmbeddingSet, sides: Sequence[EmbeddingSet], ranks: Sequence[int], level: float
) -> ClosedSet:
    """Search the probes in all galleries as one."""
    names = np.concatenate([side.identities for side in sides])
    acquired = np.concatenate([side.acquired for side in sides])
    vectors = np.concatenate([side.vectors for side in sides])
    people = shared_codes([probes.identities, names])
    kept, _ = searchable(people, probes.acquired, acquired)
    codes = [code[rows] for code, rows in zip(people, kept, strict=True)]
    searched = search(probes.vectors[kept[0]], vectors[kept[1]], codes, "max", "cosine")
    asked = sorted(set(ranks))
    place = searched.rank[searched.mated]
    return ClosedSet(
        people=searched.people,
        mated=len(place),
        missed={rank: int((place > min(rank, searched.people)).sum()) for rank in asked},
        intervals=rank_intervals(searched, asked, level),
    )


def _check_disjoint(sides: dict[str, EmbeddingSet]) -> None:
    people = np.concatenate([np.unique(side.identities) for side in sides.values()])
    names, counts = np.unique(people, return_counts=True)
    if (counts > 1).any():
        raise EvaluationError(
            f"{names[counts > 1][0]} is in two galleries ({int((counts > 1).sum())} such people): "
            f"the galleries of {PROTOCOL} have different people"
        )


def _mean_of(values: Sequence[float], intervals: Sequence[Interval]) -> MeanRate:
    """Return the mean of independent rates; its limits lie as far from it as MOVER says."""
    mean = sum(values) / len(values)
    pairs = list(zip(values, intervals, strict=True))
    down = math.hypot(*(value - each.low for value, each in pairs)) / len(values)
    up = math.hypot(*(each.high - value for value, each in pairs)) / len(values)
    low, high = max(0.0, mean - down), min(1.0, mean + up)
    return MeanRate(mean, Interval(low=low, high=high, level=intervals[0].level, method=_METHOD))


def _of(values: Mapping[int, Value], rank: int) -> Value:
    if rank not in values:
        raise EvaluationError(f"rank {rank} was not measured: add it to the ranks")
    return values[rank]


def _cells(
    value: float, interval: Interval, missed: int, found: IdentificationResult | ClosedSet
) -> list[Cell]:
    return [*rate_and_interval(value, interval), errors(missed), count(found.mated)]
