"""Requests from the service's OpenAPI document: its routes and fields, with values of any kind."""

import json
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from hypothesis import strategies as st

from facever.service.app import openapi_document
from tests.http_photos import coded, shot
from tests.squares import AlignedColours


class MadeUp(NamedTuple):
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


_PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["a", "", "\x00", "a/b", "..", "\u202e", "𝔘", "x" * 2000, "all", "1"])
)
_ANY = st.recursive(
    _PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
_LIKELY: dict[str, Any] = {
    "images": st.just([coded(shot("a", 3))]) | st.just([coded(shot("a")[:-9])]),
    "embeddings": st.just([[1.0] + [0.0] * 11])
    | st.lists(st.lists(st.floats(), max_size=12), max_size=3),
    "fingerprint": st.just(AlignedColours.fingerprint),
    "person": st.sampled_from(["a", "b", "c"]),
    "k": st.integers(-1, 200),
    "face": st.sampled_from(["largest", "only", "all", "central"]),
    "metadata": st.dictionaries(st.text(max_size=3), _ANY, max_size=2),
    "where": st.dictionaries(st.text(max_size=3), _PLAIN, max_size=2),
}


@cache
def _document() -> dict[str, Any]:
    return openapi_document()


@st.composite
def requests(draw: st.DrawFn) -> MadeUp:
    """Draw a request."""
    document = _document()
    path = draw(st.sampled_from(sorted(document["paths"])))
    method = draw(st.sampled_from(sorted(document["paths"][path])))
    said = document["paths"][path][method]
    for parameter in said.get("parameters", ()):
        if parameter["in"] == "path":
            value = draw(st.sampled_from(["a", "b", "1"]) | st.text(min_size=1, max_size=8))
            part = quote(value.encode("utf-8", "surrogatepass"), safe="").replace(".", "%2E")
            path = path.replace(f"{{{parameter['name']}}}", part)
    names = [one["name"] for one in said.get("parameters", ()) if one["in"] == "query"]
    query = {name: draw(_PLAIN) for name in names if draw(st.booleans())}
    if query:
        path += "?" + urlencode(query, errors="surrogatepass")
    content = said.get("requestBody", {}).get("content", {})
    if not content:
        return MadeUp(method.upper(), path, {}, b"")
    fields = content["application/json"]["schema"]["properties"]
    body = {
        name: draw(_LIKELY.get(name, _ANY) | _ANY)
        for name in sorted(fields)
        if draw(st.integers(0, 2)) == 0
    }
    if draw(st.integers(0, 9)) == 0:
        body[draw(st.text(max_size=5))] = draw(_ANY)
    text = json.dumps(body).encode()
    if draw(st.integers(0, 9)) == 0:
        text = text[: draw(st.integers(0, len(text)))]
    headers = {"content-type": draw(st.sampled_from(["application/json"] * 9 + ["text/plain"]))}
    if "multipart/form-data" in content and draw(st.integers(0, 3)) == 0:
        return MadeUp(method.upper(), path, *_form(body))
    return MadeUp(method.upper(), path, headers, text)


def _form(body: dict[str, Any]) -> tuple[dict[str, str], bytes]:
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{quote(name)}"\r\n\r\n'.encode()
        + (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "replace")
        + b"\r\n"
        for name, value in body.items()
    ]
    return {"content-type": "multipart/form-data; boundary=x"}, b"".join([*parts, b"--x--\r\n"])
