"""The client: questions to a service, and the results that `Recognizer` returns."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import quote, urlencode

from facever.client.connection import Connection
from facever.client.images import coded
from facever.data.given import Given
from facever.gallery.records import PersonImages, StoredImage

if TYPE_CHECKING:
    from facever.gallery.answers import Enrollment, SearchResult, Verification
    from facever.gallery.checks import Conflicts
    from facever.gallery.records import Duplicates
    from facever.operating_point import OperatingPoint
    from facever.pair_verification import PairVerification

_PAGE = 500  # people
Which = Literal["largest", "central", "all", "only"]


class Client:
    """A service that `facever serve` runs, with the calls of `Recognizer` and of `Gallery`.

    Needs no extra. Threads may share a client. A request that changes nothing is sent again if the
    service is busy or does not answer; one that changes the gallery is sent once.

    Args:
        url: Address of the service, such as "https://host:8000".
        token: A token of the service; None for one without tokens.
        timeout: Seconds to wait for an answer.
        retries: How often a request that changes nothing is sent again.
        certificates: File of certificates (PEM) to trust; by default those of the system.

    Raises:
        ConfigError: The URL or the token cannot be used.

    Every call raises UnavailableError if the service is busy or does not answer, ConfigError if it
    refuses the token, NotEnrolledError, TakenError or DataError for the same reasons and with the
    same line as the call of `Recognizer`.

    Example:
        >>> client = facever.Client("http://localhost:8000")  # doctest: +SKIP
        >>> client.enroll(["ada.jpg"], "ada").images  # doctest: +SKIP
        1
        >>> client.search("someone.jpg")[0].person  # doctest: +SKIP
        'ada'
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = 60.0,
        retries: int = 3,
        certificates: str | Path | None = None,
    ) -> None:
        self._connection = Connection(
            url, token, timeout=timeout, retries=retries, certificates=certificates
        )

    def close(self) -> None:
        """Close the connection of this thread."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- questions --------------------------------------------------------------------------

    def search(
        self,
        images: Given | Sequence[Given],
        k: int = 5,
        *,
        operating_point: str | None = None,
        where: Mapping[str, Any] | None = None,
        where_images: Mapping[str, Any] | None = None,
        calibration: str | None = None,
        face: Which | None = None,
        track: bool = False,
    ) -> "SearchResult":
        """Find the most similar people for each image; see `Recognizer.search`.

        Args:
            images: Images in any form; a single one is a list of one.
            k: Largest number of candidates for each.
            operating_point: Name of an operating point of the gallery.
            where: Filter by metadata.
            where_images: Filter of the enrolled images by `camera` and `taken`.
            calibration: Name of a calibration of the gallery.
            face: Face of a photo: "largest", "central", "only" or "all".
            track: All images show one person: one answer, for their mean.
        """
        from facever.client.results import search_result

        asked = _given(
            images=coded(images),
            k=k,
            operating_point=operating_point,
            where=None if where is None else dict(where),
            where_images=None if where_images is None else dict(where_images),
            calibration=calibration,
            face=face,
            track=track,
        )
        return search_result(self._connection.json("POST", "/v1/search", asked))

    def verify(
        self,
        image_a: Given,
        image_b: Given,
        operating_point: str | None = None,
        *,
        face: Which | None = None,
    ) -> "PairVerification":
        """Decide whether two images show the same person; see `Recognizer.verify`."""
        from facever.client.results import pair_verification

        asked = _given(images=coded([image_a, image_b]), operating_point=operating_point, face=face)
        return pair_verification(self._connection.json("POST", "/v1/verify", asked))

    def verify_person(
        self,
        images: Given | Sequence[Given],
        person: str,
        *,
        operating_point: str | None = None,
        calibration: str | None = None,
        face: Which | None = None,
    ) -> "Verification":
        """Decide whether each image shows a person; see `Recognizer.verify_person`."""
        from facever.client.results import verification

        asked = _given(
            images=coded(images),
            person=person,
            operating_point=operating_point,
            calibration=calibration,
            face=face,
        )
        return verification(self._connection.json("POST", "/v1/verify", asked))

    def detect(self, images: Given | Sequence[Given]) -> list[dict[str, Any]]:
        """Return the faces of each photo: `faces` with box, landmarks and quality, and `error`."""
        found = self._connection.json("POST", "/v1/detect", {"images": coded(images)})
        return list(found["photos"])

    # -- people -----------------------------------------------------------------------------

    def enroll(
        self,
        images: Given | Sequence[Given],
        person: str,
        *,
        camera: str | int | None = None,
        taken: str | datetime | None = None,
        track: bool = False,
        metadata: Mapping[str, Any] | None = None,
        duplicates: "Duplicates" = "skip",
        conflicts: "Conflicts" = "warn",
        conflict_point: str | None = None,
        face: Which | None = None,
    ) -> "Enrollment":
        """Enroll images of one person in one change; see `Recognizer.enroll`.

        Args:
            images: Images in any form; a single one is a list of one.
            person: Their id.
            camera: Camera that took the images.
            taken: Time when they were taken.
            track: The images are of one passage: their mean is enrolled, as one image.
            metadata, duplicates, conflicts, conflict_point: As in `Gallery.enroll`.
            face: Face of a photo: "largest", "central" or "only".
        """
        from facever.client.results import enrollment

        asked = _given(
            images=coded(images),
            camera=None if camera is None else str(camera),
            taken=taken.isoformat() if isinstance(taken, datetime) else taken,
            track=track,
            metadata=None if metadata is None else dict(metadata),
            duplicates=duplicates,
            conflicts=conflicts,
            conflict_point=conflict_point,
            face=face,
        )
        return enrollment(
            self._connection.json("POST", f"{_path(person)}/images", asked, changes=True)
        )

    def people(self, where: Mapping[str, Any] | None = None) -> Iterator[PersonImages]:
        """Yield each person's id and number of images; see `Gallery.people`."""
        asked: dict[str, Any] = {"limit": _PAGE}
        if where is not None:
            import json

            asked["where"] = json.dumps(dict(where), allow_nan=False)
        while True:
            page = self._connection.json("GET", f"/v1/people?{urlencode(asked)}")
            for one in page["people"]:
                yield PersonImages(one["person"], one["images"])
            if page["next"] is None:
                return
            asked["after"] = page["next"]

    def add_person(self, person: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Add a person without images; see `Gallery.add_person`."""
        asked = {"person": person, "metadata": dict(metadata or {})}
        self._connection.json("POST", "/v1/people", asked, changes=True)

    def metadata(self, person: str) -> dict[str, Any]:
        """Return a person's metadata; see `Gallery.metadata`."""
        return dict(self._connection.json("GET", _path(person))["metadata"])

    def images(self, person: str) -> list[StoredImage]:
        """Return the records of a person's images; see `Gallery.images`."""
        found = self._connection.json("GET", f"{_path(person)}/images")
        return [StoredImage(**one) for one in found["images"]]

    def crop(self, person: str, image: int) -> bytes:
        """Return the kept crop of an image, a PNG file; see `Gallery.crop`."""
        return self._connection.content("GET", f"{_path(person)}/images/{image}/crop")

    def update(
        self,
        person: str,
        metadata: Mapping[str, Any] | None = None,
        remove_keys: Sequence[str] = (),
        new_id: str | None = None,
    ) -> None:
        """Change a person's metadata or id; see `Gallery.update`."""
        asked = _given(metadata=dict(metadata or {}), remove=list(remove_keys), person=new_id)
        self._connection.json("PATCH", _path(person), asked, changes=True)

    def merge(self, person: str, into: str) -> int:
        """Move all images of a person to another person; see `Gallery.merge`."""
        return self._count("POST", f"{_path(person)}/merge", {"into": into})

    def split(self, person: str, images: Sequence[int], new_person: str) -> int:
        """Move images of a person, by their numbers, to a new one; see `Gallery.split`."""
        asked = {"images": list(images), "person": new_person}
        return self._count("POST", f"{_path(person)}/split", asked)

    def remove(self, person: str, image: int | None = None) -> int:
        """Remove a person, or one image by its number; see `Gallery.remove`."""
        path = _path(person) if image is None else f"{_path(person)}/images/{image}"
        return self._count("DELETE", path)

    def export(self, person: str) -> bytes:
        """Return all that is kept of a person, a zip archive."""
        return self._connection.content("GET", f"{_path(person)}/export")

    # -- the gallery ------------------------------------------------------------------------

    def operating_points(self) -> "dict[str, OperatingPoint]":
        """Return the usable operating points by name; see `Gallery.operating_points`."""
        from facever.client.results import point_of

        found = self._connection.json("GET", "/v1/thresholds")["operating_points"]
        return {name: point_of(said) for name, said in found.items()}

    def add_operating_point(self, name: str, point: "OperatingPoint") -> None:
        """Store an operating point under a name; see `Gallery.add_operating_point`."""
        asked = {"name": name, "file": point.model_dump(mode="json")}
        self._connection.json("POST", "/v1/thresholds", asked, changes=True)

    def info(self) -> dict[str, Any]:
        """Return the service's version, model, gallery and limits."""
        return self._connection.json("GET", "/v1/info")

    def _count(self, method: str, path: str, body: object = None) -> int:
        return int(self._connection.json(method, path, body, changes=True)["images"])


def _path(person: str) -> str:
    return f"/v1/people/{quote(person, safe='').replace('.', '%2E')}"


def _given(**asked: Any) -> dict[str, Any]:
    """Return the fields that are given."""
    return {name: value for name, value in asked.items() if value is not None}
