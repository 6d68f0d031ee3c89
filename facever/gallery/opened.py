"""An open gallery: its store, its index, and what it says of itself."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from facever.evaluation.score_calibration import ScoreCalibration
from facever.gallery.answers import GalleryInfo
from facever.gallery.decisions import Unusable, read_stored
from facever.gallery.index.index import Index
from facever.gallery.records import Vectors
from facever.gallery.store.store import Store
from facever.operating_point import OperatingPoint


class Opened:
    """What all that a gallery does works on: the store and the index that follows it.

    Args:
        store: Open; it is closed with this.
        path: The gallery's folder.
        wait: Seconds to wait for another writer.
    """

    def __init__(self, store: Store, path: Path, wait: float) -> None:
        self._store, self.path = store, path
        self._index = Index(store, wait)

    def close(self) -> None:
        """Finish writing the index and close the files."""
        self._index.close()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def fingerprint(self) -> str:
        """Of the extractor that the gallery is bound to."""
        return self._store.binding.fingerprint

    @property
    def dimension(self) -> int:
        """Of the vectors."""
        return self._store.binding.dimension

    def info(self) -> GalleryInfo:
        """Return what the gallery is and holds."""
        with self._store.reading():
            points, unusable_points = self._kept_points()
            calibrations, unusable_calibrations = self._kept_calibrations()
            binding, settings = self._store.binding, self._store.settings
            people, images = self._store.counts()
            return GalleryInfo(
                path=str(self.path),
                gallery=self._store.gallery,
                created=self._store.created,
                change=self._store.change().number,
                fingerprint=binding.fingerprint,
                dimension=binding.dimension,
                metric=binding.metric,
                preprocessing=dict(binding.preprocessing),
                options=dict(binding.options),
                templates=settings.templates,
                storage=settings.storage,
                index=settings.index,
                read_only=self._store.read_only,
                people=people,
                images=images,
                photos=self._store.photo_count(),
                entries=self._store.entry_count(),
                operating_points={
                    name: point.model_dump(mode="json") for name, point in points.items()
                },
                calibrations={
                    name: calibration.model_dump(mode="json")
                    for name, calibration in calibrations.items()
                },
                unusable=[
                    one.reason
                    for kept in (unusable_points, unusable_calibrations)
                    for one in kept.values()
                ],
            )

    def entries(self) -> tuple[list[str], Vectors]:
        """Return what a search compares with: the images, or the templates made of them.

        Returns:
            The person's id of each, and vectors float32 [N, D], unit rows.
        """
        with self._store.reading():
            found = self._store.entries_after(0)
            ids = self._store.ids(set(found.owners.tolist()))
        return [ids[key] for key in found.owners.tolist()], found.vectors

    def metadata(self, person: str) -> dict[str, Any]:
        """Return what is known of a person.

        Raises:
            GalleryError: Nobody is enrolled under that id.
        """
        return self._store.metadata(person)

    def operating_points(self) -> dict[str, OperatingPoint]:
        """Return the operating points by name, without those that cannot be used (`info`)."""
        return self._kept_points()[0]

    def calibrations(self) -> dict[str, ScoreCalibration]:
        """Return the calibrations by name, without those that cannot be used (`info`)."""
        return self._kept_calibrations()[0]

    def _kept_points(self) -> tuple[dict[str, OperatingPoint], dict[str, Unusable]]:
        """Return the operating points that can be used and those that cannot, by name."""
        return read_stored(OperatingPoint, self._store.operating_points())

    def _kept_calibrations(self) -> tuple[dict[str, ScoreCalibration], dict[str, Unusable]]:
        """Return the calibrations that can be used and those that cannot, by name."""
        return read_stored(ScoreCalibration, self._store.calibrations())
