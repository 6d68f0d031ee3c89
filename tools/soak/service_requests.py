"""Requests made up from the OpenAPI document: none may have a status of 500 or more."""

from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from starlette.testclient import TestClient

from facever.gallery.gallery import Gallery
from facever.service.app import create_app
from facever.service.service import Service
from tests.http_photos import HOST
from tests.made_up_requests import MadeUp, requests
from tests.squares import AlignedColours, SquareCropper


def made_up_requests(folder: Path, count: int) -> dict:
    """Ask an app, without a server, `count` made-up requests."""
    Gallery.create(folder / "made-up", AlignedColours()).close()
    service = Service(AlignedColours(), folder / "made-up", cropper=SquareCropper)
    statuses, faults = Counter[int](), list[str]()

    @settings(
        max_examples=count, database=None, deadline=None, suppress_health_check=[*HealthCheck]
    )
    @given(asked=requests())
    def ask(asked: MadeUp) -> None:
        reply = client.request(asked.method, asked.path, headers=asked.headers, content=asked.body)
        statuses[reply.status_code] += 1
        if reply.status_code >= 500:
            faults.append(f"{asked}: {reply.status_code}: {reply.text}"[:500])

    with TestClient(create_app(service), base_url=HOST, raise_server_exceptions=False) as client:
        ask()
    return {
        "requests": sum(statuses.values()),
        "statuses": {str(status): number for status, number in sorted(statuses.items())},
        "faults": faults[:20],
    }
