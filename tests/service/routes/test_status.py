"""Info, health, metrics, thresholds and the OpenAPI document."""

import json
from pathlib import Path

import pytest

import facever
from facever.service.app import openapi_document
from tests.http_photos import files, shot

DOCUMENT = Path(__file__).parents[3] / "docs" / "openapi.json"


def test_the_openapi_document_is_the_one_in_docs(client):
    served = client.get("/v1/openapi.json").json()
    assert served == openapi_document()
    assert served == json.loads(DOCUMENT.read_text()), "run: python -m tools.openapi"


def test_every_route_names_its_problems():
    for path, methods in openapi_document()["paths"].items():
        for method, said in methods.items():
            assert said["summary"]
            if "health/live" not in path:
                assert "503" in said["responses"], (method, path)


def test_info(client):
    said = client.get("/v1/info").json()
    assert said["version"] == facever.__version__
    assert (said["gallery"]["people"], said["gallery"]["images"]) == (2, 4)
    assert said["photos"] is True
    assert said["limits"]["images"] == 64
    assert "path" not in said["gallery"]


def test_health_follows_the_gallery(client, gallery_path):
    assert client.get("/v1/health/live").json() == {"status": "live"}
    assert client.get("/v1/health/ready").status_code == 200
    gallery_path.rename(gallery_path.with_name("elsewhere"))
    assert client.get("/v1/health/live").status_code == 200
    assert client.get("/v1/health/ready").status_code == 503
    refused = client.post("/v1/search", files=files(shot("a")))
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    gallery_path.with_name("elsewhere").rename(gallery_path)
    assert client.get("/v1/health/ready").status_code == 200


def test_metrics_count(client):
    client.get("/v1/people/nobody")
    lines = client.get("/metrics").text.splitlines()
    assert (
        'facever_requests_total{method="GET",route="/v1/people/{person}",status="404"} 1.0' in lines
    )
    images = sum(
        float(one.split()[1]) for one in lines if one.startswith("facever_batch_images_sum")
    )
    assert images == 4


def test_thresholds_from_a_file(client, many, tmp_path):
    many.save(tmp_path / "point.json")
    content = (tmp_path / "point.json").read_bytes()
    added = client.post(
        "/v1/thresholds", files=[("file", ("p.json", content))], data={"name": "door"}
    )
    assert added.status_code == 201, added.text
    assert client.get("/v1/thresholds").json()["operating_points"] == {
        "door": many.model_dump(mode="json")
    }
    again = {"name": "door", "file": json.loads(content)}
    assert client.post("/v1/thresholds", json=again).status_code == 409


@pytest.mark.parametrize(
    "change", [{"threshold": 7}, {"fingerprint": "other"}, {"extra": 1}, {"trials": None}]
)
def test_a_wrong_point_is_refused(client, many, change):
    point = {**many.model_dump(mode="json"), **change}
    refused = client.post("/v1/thresholds", json={"name": "door", "file": point})
    assert refused.status_code == 422
    assert next(iter(change)) in refused.json()["detail"]
    assert client.get("/v1/thresholds").json()["operating_points"] == {}


def test_unknown_routes_and_methods_are_problems(client):
    for reply, status in (
        (client.get("/v1/nothing"), 404),
        (client.put("/v1/people/a"), 405),
        (client.get("/docs"), 404),
    ):
        assert reply.status_code == status
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json()["status"] == status
    assert "DELETE" in client.put("/v1/people/a").headers["allow"]


def test_ids_and_versions_are_in_headers(client):
    reply = client.get("/v1/info", headers={"X-Request-ID": "abc-1"})
    assert reply.headers["x-request-id"] == "abc-1"
    assert reply.headers["facever-version"] == facever.__version__
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    refused = client.get("/v1/people/x", headers={"X-Request-ID": "a b\n"[:3]})
    assert refused.json()["request"] == refused.headers["x-request-id"] != "a b"
