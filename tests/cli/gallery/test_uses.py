"""`facever gallery uses`: list and erase."""

import json

import pytest

from facever.gallery.gallery import Gallery
from facever.gallery.uses import UseLog
from tests.gallery.test_uses import ROW


@pytest.fixture
def path(tmp_path):
    Gallery.create(tmp_path / "people", fingerprint="model", dimension=3).close()
    return tmp_path / "people"


def test_no_log(facever, path):
    assert facever("gallery", "uses", path)[:2] == (
        0,
        "no uses: no service has answered for this gallery\n",
    )
    assert facever("gallery", "uses", path, "--json")[1] == "[]\n"
    assert facever("gallery", "uses", path, "--erase", "x")[1] == "0 rows were erased\n"
    assert facever("gallery", "uses", path.with_name("none"))[0] == 2


def test_list_and_erase(facever, path):
    with UseLog(path) as log:
        log.add([ROW])
    assert json.loads(facever("gallery", "uses", path, "--json")[1]) == [ROW.to_dict()]
    assert "ada-lovelace" in facever("gallery", "uses", path, "--last", 3)[1]
    assert "ada" not in facever("gallery", "uses", path, "--since", "2026-01-02")[1]
    assert "0 rows" in facever("gallery", "uses", path, "--erase-before", "2026-01-01")[1]
    assert facever("gallery", "uses", path, "--erase", "x", "--last", 3)[0] == 2
    erased = facever("gallery", "uses", path, "--erase", "ada-lovelace", "--json")
    assert json.loads(erased[1]) == {"erased": 1}
    assert facever("gallery", "uses", path, "--json")[1] == "[]\n"
