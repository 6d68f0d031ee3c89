"""Requests made up from the OpenAPI document: none is a failure of the service.

tools/soak/service.py makes many more of them.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from starlette.testclient import TestClient

from facever.gallery.gallery import Gallery
from facever.service.app import create_app
from facever.service.limits import Limits
from facever.service.service import Service
from tests.http_photos import HOST, files, shot
from tests.made_up_requests import MadeUp, requests
from tests.squares import AlignedColours, SquareCropper


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    path: Path = tmp_path_factory.mktemp("fuzz") / "gallery"
    Gallery.create(path, AlignedColours()).close()
    service = Service(
        AlignedColours(), path, cropper=SquareCropper, limits=Limits(body_bytes=200_000)
    )
    with TestClient(create_app(service), base_url=HOST, raise_server_exceptions=False) as made:
        made.post("/v1/people/a/images", files=files(shot("a"), shot("a", 1)))
        yield made


@settings(
    max_examples=500,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(asked=requests())
def test_no_request_is_a_failure_of_the_service(client: TestClient, asked: MadeUp) -> None:
    reply = client.request(asked.method, asked.path, headers=asked.headers, content=asked.body)
    assert reply.status_code < 500, (asked, reply.text)
    if reply.status_code >= 400:
        assert reply.headers["content-type"] == "application/problem+json"
        said = reply.json()
        assert said["status"] == reply.status_code
        assert said["detail"]
        assert "\n" not in said["detail"]
