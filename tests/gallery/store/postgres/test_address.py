"""Addresses of galleries: what libpq gets, what messages show, and what is refused."""

import sys
from pathlib import Path

import pytest

from facever.errors import GalleryError
from facever.gallery.store.postgres.address import (
    is_address,
    parse_address,
    refuse_folder_of_address,
)

conninfo_to_dict = pytest.importorskip("psycopg.conninfo").conninfo_to_dict


@pytest.mark.parametrize(
    ("text", "parts", "gallery", "name"),
    [
        ("postgresql://", {}, "gallery", "postgresql:///?gallery=gallery"),
        (
            "postgres://db.example/faces?gallery=staff",
            {"host": "db.example", "dbname": "faces"},
            "staff",
            "postgresql://db.example/faces?gallery=staff",
        ),
        (
            "postgresql://ann:s%40cret%2F@db:5433/faces?sslmode=verify-full&gallery=a_1"
            "&sslrootcert=/etc/ca.pem",
            {
                "user": "ann",
                "password": "s@cret/",
                "host": "db",
                "port": "5433",
                "dbname": "faces",
                "sslmode": "verify-full",
                "sslrootcert": "/etc/ca.pem",
            },
            "a_1",
            "postgresql://db:5433/faces?gallery=a_1",
        ),
        (
            "postgresql://one,two:5433/x?target_session_attrs=read-write",
            {
                "host": "one,two",
                "port": ",5433",
                "dbname": "x",
                "target_session_attrs": "read-write",
            },
            "gallery",
            "postgresql://one,two:5433/x?gallery=gallery",
        ),
        (
            "postgresql:///x?host=/run/a%20b&port=7",
            {"host": "/run/a b", "port": "7", "dbname": "x"},
            "gallery",
            "postgresql:///x?host=/run/a%20b&gallery=gallery",
        ),
        (
            "postgresql://[::1]:7/x",
            {"host": "::1", "port": "7", "dbname": "x"},
            "gallery",
            "postgresql://[::1]:7/x?gallery=gallery",
        ),
        (
            "postgresql://u:a?b@h/x?options=-c%20statement_timeout%3D5s&application_name=a%26b",
            {
                "user": "u",
                "password": "a?b",
                "host": "h",
                "dbname": "x",
                "options": "-c statement_timeout=5s",
                "application_name": "a&b",
            },
            "gallery",
            "postgresql://h/x?gallery=gallery",
        ),
        (
            "postgresql:///?service=prod&password=xyz",
            {"service": "prod", "password": "xyz"},
            "gallery",
            "postgresql:///?service=prod&gallery=gallery",
        ),
    ],
)
def test_parts(text: str, parts: dict[str, str], gallery: str, name: str) -> None:
    address = parse_address(text)
    assert conninfo_to_dict(address.conninfo) == parts
    assert (address.gallery, address.name) == (gallery, name)
    assert address.schema == f"facever_{gallery}"
    assert parts.get("password", "no password") not in repr(address)
    assert address.secrets == tuple(v for k, v in parts.items() if k == "password")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("postgresql://h/x?sslmod=require", "'sslmod'; did you mean 'sslmode'"),
        ("postgresql://h/x?gallery=Ann", "gallery='Ann'"),
        ("postgresql://h/x?gallery=", "gallery=''"),
        (f"postgresql://h/x?gallery={'a' * 41}", "1 to 40 characters"),
        ("postgresql://h/x?gallery=a%00b", "1 to 40 characters"),
        ("postgresql://h/x?gallery=a;drop", "1 to 40 characters"),
        ("postgresql://h/x%00y", "cannot be read"),
        ("postgresql://h/x?sslmode=%00", "cannot be read"),
        ("postgresql://[::1/x", "cannot be read"),
        ("postgresql://u:hunter2%zz@h/x", "%25 for %"),
        ("postgresql://u:hunter2/more@h/x", "%2F for /"),
        ("postgresql://u:hunter2@more@h/x", "%40 for @"),
        ("postgresql://h/x?password=hunter2&hunter2=1", "unknown option"),
        ("postgresql://u:hunter2@h:port/x", "ambiguous"),
        ("/tmp/gallery", "postgresql://HOST/DATABASE?gallery=NAME"),
    ],
)
def test_refused_without_the_password(text: str, words: str) -> None:
    with pytest.raises(GalleryError) as refused:
        parse_address(text)
    assert words in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_what_is_an_address() -> None:
    assert is_address("postgresql://h/x")
    assert is_address("postgres:///x")
    assert not is_address("postgresql:/h/x")
    assert not is_address("folder/postgresql://h")
    assert not is_address(Path("postgresql://h/x"))
    refuse_folder_of_address(Path("folder/postgresql:"))
    for text in ("postgresql://h/x", "postgres:///x"):
        with pytest.raises(GalleryError, match="as a str"):
            refuse_folder_of_address(Path(text))


def test_cache() -> None:
    assert parse_address("postgresql://h/x").cache is None
    address = parse_address("postgresql://h/x?cache=/var/cache/a%20b")
    assert address.cache == Path("/var/cache/a b")
    assert conninfo_to_dict(address.conninfo) == {"host": "h", "dbname": "x"}


def test_redacted() -> None:
    address = parse_address("postgresql://u:pass%20word@h/x?sslpassword=other")
    assert address.redacted("no: pass word, other, x") == "no: ***, ***, x"


def test_without_psycopg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(GalleryError, match=r"pip install 'facever\[postgres\]'"):
        parse_address("postgresql://h/x")
