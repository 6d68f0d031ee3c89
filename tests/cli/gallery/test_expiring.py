"""`facever gallery expire`."""

import json

import numpy as np

from facever.gallery.gallery import Gallery
from facever.gallery.uses import ERASED, UseLog
from tests.gallery.test_uses import ROW


def test_expire(facever, tmp_path):
    path = tmp_path / "people"
    metadata = {"ada-lovelace": {"expires": "2020-01-01"}, "bob": {"expires": "soon"}}
    with Gallery.create(path, fingerprint="model", dimension=3) as gallery:
        people = ["ada-lovelace", "bob", "cy"]
        gallery.enroll(np.eye(3), people, fingerprint="model", metadata=metadata)
    with UseLog(path) as log:
        log.add([ROW])
    listed = facever("gallery", "expire", path, "--dry-run")
    assert listed[:2] == (0, "'ada-lovelace'\n1 person due\n")
    assert "'bob'" in listed[2]
    done = json.loads(facever("gallery", "expire", path, "--json")[1])
    assert done == {"due": ["ada-lovelace"], "unclear": ["bob"], "removed": True, "images": 1}
    with Gallery.open(path) as gallery, UseLog(path) as log:
        assert [one.person for one in gallery.people()] == ["bob", "cy"]
        assert log.rows()[0].person.startswith(ERASED)
    assert facever("gallery", "expire", path)[1] == "0 people removed, 0 images\n"
