"""Tokens, roles, and requests that another site's page makes."""

import json

import pytest

from facever.errors import ConfigError
from facever.service.access import Access
from facever.service.callers import LOCAL, includes
from facever.service.problems import Problem
from facever.service.tokens import Tokens, new_token, read_tokens
from tests.http_photos import files, shot


@pytest.fixture
def made(tmp_path):
    """Tokens by role, and the file with their hashes."""
    path = tmp_path / "tokens.json"
    return {
        role: new_token(path, role, f"the {role}") for role in ("search", "enrol", "admin")
    }, path


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_only_hashes_are_kept(made):
    tokens, path = made
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    for token in tokens.values():
        assert len(token) >= 40
        assert token not in text
        assert token.removeprefix("facever_") not in text
    assert [one.role for one in read_tokens(path)] == ["search", "enrol", "admin"]


ROUTES = [
    ("search", "POST", "/v1/search"),
    ("search", "POST", "/v1/verify"),
    ("search", "POST", "/v1/detect"),
    ("search", "GET", "/v1/thresholds"),
    ("search", "GET", "/v1/info"),
    ("search", "GET", "/metrics"),
    ("enrol", "GET", "/v1/people"),
    ("enrol", "POST", "/v1/people"),
    ("enrol", "GET", "/v1/people/a"),
    ("enrol", "GET", "/v1/people/a/images"),
    ("enrol", "POST", "/v1/people/a/images"),
    ("enrol", "GET", "/v1/people/a/images/1/crop"),
    ("admin", "PATCH", "/v1/people/a"),
    ("admin", "DELETE", "/v1/people/a"),
    ("admin", "POST", "/v1/people/a/merge"),
    ("admin", "POST", "/v1/people/a/split"),
    ("admin", "GET", "/v1/people/a/export"),
    ("admin", "DELETE", "/v1/people/a/images/1"),
    ("admin", "POST", "/v1/thresholds"),
    ("admin", "GET", "/v1/uses"),
    ("admin", "POST", "/v1/purge"),
]


def test_every_route_needs_its_role(start, made):
    tokens, path = made
    client = start(tokens=Tokens(path))
    served = {
        (method.upper(), route.replace("{person}", "a").replace("{image}", "1"))
        for route, methods in client.get("/v1/openapi.json").json()["paths"].items()
        for method in methods
        if "/health/" not in route
    }
    assert served == {(method, path) for _, method, path in ROUTES}
    for role, method, route in ROUTES:
        assert client.request(method, route).status_code == 401
        assert client.request(method, route, headers=bearer("wrong")).status_code == 401
        for held, token in tokens.items():
            status = client.request(method, route, headers=bearer(token)).status_code
            assert (status == 403) == (not includes(held, role)), (held, method, route, status)
            assert status != 401


def test_401_says_how(start, made):
    client = start(tokens=Tokens(made[1]))
    refused = client.get("/v1/info")
    assert refused.headers["www-authenticate"] == "Bearer"
    assert "Authorization" in refused.json()["detail"]
    assert client.get("/v1/health/live").status_code == 200
    assert client.get("/v1/health/ready").status_code == 200
    for header in ("Basic abc", "Bearer", "Bearer \u00e9", made[0]["admin"]):
        said = {"Authorization": header.encode("latin-1")}
        assert client.get("/v1/info", headers=said).status_code == 401


def test_a_role_is_checked_before_the_body(start, made):
    client = start(tokens=Tokens(made[1]))
    reply = client.post("/v1/thresholds", content=b"{", headers=bearer(made[0]["search"]))
    assert reply.status_code == 403


def test_a_removed_token_is_refused_at_once(start, made):
    tokens, path = made
    client = start(tokens=Tokens(path))
    assert client.get("/v1/info", headers=bearer(tokens["search"])).status_code == 200
    said = json.loads(path.read_text())
    said["tokens"] = [one for one in said["tokens"] if one["role"] != "search"]
    path.write_text(json.dumps(said))
    assert client.get("/v1/info", headers=bearer(tokens["search"])).status_code == 401
    assert client.get("/v1/info", headers=bearer(tokens["admin"])).status_code == 200
    path.write_text("{")
    assert client.get("/v1/info", headers=bearer(tokens["admin"])).status_code == 503
    path.unlink()
    assert client.get("/v1/info", headers=bearer(tokens["admin"])).status_code == 503


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "JSON"),
        ("[]", "object"),
        ("{}", "no token"),
        ('{"tokens": [{"name": "x", "role": "root", "sha256": "00"}]}', "role"),
        ('{"tokens": [], "more": 1}', "more"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, content, word):
    path = tmp_path / "tokens.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=word):
        Tokens(path)


def test_a_file_that_others_can_read_is_refused(made):
    made[1].chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        Tokens(made[1])
    with pytest.raises(ConfigError, match=r"missing\.json"):
        Tokens(made[1].with_name("missing.json"))


def test_a_name_is_used_once(made):
    with pytest.raises(ConfigError, match="the admin"):
        new_token(made[1], "admin", "the admin")
    with pytest.raises(ConfigError, match="did you mean 'search'"):
        new_token(made[1], "serch", "x")
    assert len(read_tokens(made[1])) == 3


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1234"])
def test_pages_of_other_origins_are_refused(client, origin):
    reply = client.post(
        "/v1/people/evil/images", files=files(shot("e")), headers={"Origin": origin}
    )
    assert reply.status_code == 403
    assert "access-control-allow-origin" not in reply.headers
    assert client.get("/v1/people/evil").status_code == 404
    assert client.get("/v1/info", headers={"Origin": "http://localhost"}).status_code == 200
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    assert client.options("/v1/search", headers=asked).status_code == 403


def test_a_rebound_name_is_refused_without_tokens(client):
    assert client.get("/v1/info", headers={"Host": "evil.example"}).status_code == 421
    for host in ("127.0.0.1:8000", "localhost:9", "[::1]:80"):
        assert client.get("/v1/info", headers={"Host": host}).status_code == 200
    for host in ("", "localhost.evil.example", "[", "127.0.0.1.evil:80"):
        with pytest.raises(Problem):
            Access().caller("/v1/info", {"host": host}, "127.0.0.1")
    assert Access().caller("/v1/info", {"host": "localhost"}, "127.0.0.1") == LOCAL
