"""A gallery's model, settings and counts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from facever.core.console import byte_count
from facever.evaluation.score_calibration import ScoreCalibration
from facever.gallery.records import Equivalence, shown
from facever.gallery.store.store import Store
from facever.gallery.thresholds import kept
from facever.operating_point import OperatingPoint
from facever.render.blocks import Cell, Facts, Section
from facever.render.numbers import count
from facever.render.result import Result


@dataclass(frozen=True)
class GalleryInfo(Result):
    """A gallery's model, settings and counts.

    Attributes:
        path: The gallery's folder.
        gallery: Id of the gallery.
        created: When it was created (ISO 8601).
        change: Number of its last change.
        fingerprint: Fingerprint of its model.
        dimension: Components of a vector.
        metric: The similarity that the model was trained for.
        preprocessing: The preprocessing of the model.
        options: Extraction options of the model, such as `flip`.
        templates: Template policy.
        storage: How vectors are stored: float32, float16 or int8.
        index: Kind of index.
        read_only: Whether this user may not change it.
        people: Number of people.
        images: Number of images.
        entries: Number of vectors that a search compares with: images or templates.
        operating_points: The stored operating points by name.
        calibrations: The stored calibrations by name.
        unusable: Why stored operating points and calibrations cannot be used.
        photos: Number of images enrolled as photos, in which a face was found; the others are
            crops.
        equivalents: Models whose vectors are taken like those of the gallery's model.
        screen: The int8 copy for exact search: its `bytes`, and since the index was opened the
            number of probes that it `searched`, and of those that had too many candidates and were
            compared with every vector (`fallbacks`); None without a copy.
        keep_crops: Whether the crop that the model saw of each new image is kept.
        crops: Number of images whose crop is kept.
    """

    path: str
    gallery: str
    created: str
    change: int
    fingerprint: str
    dimension: int
    metric: str
    preprocessing: dict[str, Any]
    options: dict[str, Any]
    templates: str
    storage: str
    index: str
    read_only: bool
    people: int
    images: int
    entries: int
    operating_points: dict[str, dict[str, Any]]
    calibrations: dict[str, dict[str, Any]]
    unusable: list[str]
    photos: int = 0
    equivalents: Mapping[str, Equivalence] = field(default_factory=dict)
    screen: dict[str, int] | None = None
    keep_crops: bool = False
    crops: int = 0

    def describe(self) -> list[Section]:
        """Return a gallery's model, settings and counts."""
        calibrations = ", ".join(map(shown, self.calibrations))
        vectors = f"{self.entries:,} {'vector' if self.entries == 1 else 'vectors'}"
        facts: list[tuple[str, Cell]] = [
            ("gallery", self.path),
            ("created", self.created),
            ("fingerprint", self.fingerprint),
            *(("equivalent", _in_words(one)) for one in self.equivalents.values()),
            ("vectors", f"dimension {self.dimension}, cosine similarity"),
            ("templates", f"{self.templates}, {vectors} to compare with"),
            ("storage", self.storage),
            ("index", self._index),
            ("people", count(self.people)),
            ("images", self._images),
            ("crops", f"kept, of {self.crops:,} images" if self.keep_crops else "not kept"),
            *self._points,
            ("calibrations", calibrations or "none: no probabilities"),
        ]
        return [Section("gallery", "Gallery", [Facts(facts)])]

    @property
    def _points(self) -> list[tuple[str, Cell]]:
        if not self.operating_points:
            return [("operating points", "none: search and verify return scores only")]
        points = {name: OperatingPoint(**one) for name, one in self.operating_points.items()}
        return [
            ("operating point", f"{shown(name)} ({one.kind}): {one.rates}")
            for name, one in points.items()
        ]

    @property
    def _index(self) -> Cell:
        if self.screen is None:
            return self.index
        return f"{self.index}, int8 copy for exact search: {byte_count(self.screen['bytes'])}"

    @property
    def _images(self) -> Cell:
        if not self.photos:
            return count(self.images)
        return f"{self.images:,}, {self.photos:,} of them photos in which a face was found"

    @property
    def warnings(self) -> list[str]:
        """Messages about stored operating points and calibrations that cannot be used."""
        return [f"{reason}; remove it" for reason in self.unusable]


def info_of(store: Store, path: Path | str, screen: dict[str, int] | None) -> GalleryInfo:
    """Return the information about the gallery at a path, from one state of its store."""
    with store.reading():
        points, unusable_points = kept(store, OperatingPoint)
        calibrations, unusable_calibrations = kept(store, ScoreCalibration)
        unusable = [*unusable_points.values(), *unusable_calibrations.values()]
        people, images = store.counts()
        return GalleryInfo(
            path=str(path),
            gallery=store.gallery,
            created=store.created,
            change=store.change().number,
            **asdict(store.binding),
            **asdict(store.settings),
            read_only=store.read_only,
            people=people,
            images=images,
            photos=store.photo_count(),
            crops=store.crop_count(),
            entries=store.entry_count(),
            operating_points={name: one.model_dump(mode="json") for name, one in points.items()},
            calibrations={name: one.model_dump(mode="json") for name, one in calibrations.items()},
            unusable=[one.reason for one in unusable],
            equivalents=dict(store.equivalents),
            screen=screen,
        )


def _in_words(one: Equivalence) -> str:
    return (
        f"{one.fingerprint} (distance at most {one.largest:.1e} on {one.images} images, "
        f"{one.measured_on}; {one.accepted})"
    )
