"""A service over made-up photos whose faces are bright squares."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from facever.gallery.gallery import Gallery
from facever.operating_point import OperatingPoint
from facever.service.app import create_app
from facever.service.limits import Limits
from facever.service.service import Service
from tests.http_photos import HOST, files, shot
from tests.squares import AlignedColours, SquareCropper


@pytest.fixture
def gallery_path(tmp_path: Path) -> Path:
    Gallery.create(tmp_path / "gallery", AlignedColours()).close()
    return tmp_path / "gallery"


@pytest.fixture
def make_point() -> Callable[..., OperatingPoint]:
    def make(**changes: Any) -> OperatingPoint:
        values: dict[str, Any] = {
            "threshold": 0.9,
            "target_rate": 1e-2,
            "achieved_rate": 1e-2,
            "trials": {"genuine": 10, "impostor": 1000},
            "dataset": "squares",
            "fingerprint": AlignedColours.fingerprint,
        }
        return OperatingPoint.model_validate({**values, **changes})

    return make


@pytest.fixture
def many(make_point) -> OperatingPoint:
    """A 1:N operating point for a gallery of at most 3 people."""
    return make_point(kind="1:N", score_rule="max", gallery_size=3)


@pytest.fixture
def start(gallery_path: Path) -> Iterator[Callable[..., TestClient]]:
    """Return a function that starts a service and returns its client."""
    started: list[TestClient] = []

    def make(model: Any = None, path: Path = gallery_path, **options: Any) -> TestClient:
        tokens = options.pop("tokens", None)
        options.setdefault("cropper", SquareCropper)
        options["limits"] = Limits(**options.pop("limits", {}))
        service = Service(model or AlignedColours(), path, **options)
        client = TestClient(create_app(service, tokens), base_url=HOST)
        client.__enter__()
        started.append(client)
        return client

    yield make
    for client in started:
        client.__exit__(None, None, None)


@pytest.fixture
def client(start) -> TestClient:
    """A client of a service with two people, a and b, with two images each."""
    made = start()
    for person in "ab":
        done = made.post(f"/v1/people/{person}/images", files=files(shot(person), shot(person, 1)))
        assert done.status_code == 201, done.text
    return made
