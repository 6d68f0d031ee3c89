"""The argument GALLERY: a folder or an address, and the warning of a password."""

import pytest

from facever.cli.gallery_address import checked
from facever.errors import GalleryError

pytest.importorskip("psycopg")


def test_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    for place in (None, "folder", "postgresql://ann@h/x?gallery=staff&passfile=/f"):
        assert checked(place) == place
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("place", ["postgresql://u:hunter2@h/x", "postgres:///?password=hunter2"])
def test_warning_of_a_password(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(place) == place
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("warning: ")
    assert "PGPASSFILE or PGSERVICE" in said
    assert "hunter2" not in said


def test_address_that_cannot_be_read() -> None:
    with pytest.raises(GalleryError, match="sslmode"):
        checked("postgresql://u:hunter2@h/x?sslmod=require")
