import json
from pathlib import Path

import numpy as np

from facever.gallery.gallery import Gallery


def test_remove_says_what_it_did(facever, gallery: Path, people: Path, monkeypatch) -> None:
    monkeypatch.chdir(people)  # a path means the same file as when it was enrolled
    status, said, _ = facever("gallery", "remove", gallery, "a", "--source", "a/0.png")
    assert (status, said.splitlines()[:2]) == (
        0,
        ["removed: 1 image, 0 people", f"gallery: 5 images of 3 people in {gallery}"],
    )
    assert f"facever gallery purge {gallery}" in said
    words = ("gallery", "remove", gallery, "c", "--image")
    assert facever(*words, 2)[::2] == (2, "error: 'c' has no image number 2\n")
    assert facever(*words, 5)[1].startswith("removed: 1 image, 0 people\n")
    told = json.loads(facever("gallery", "remove", gallery, "a", "b", "--json")[1])
    assert (told["people"], told["images"], told["total"]) == (2, 3, {"people": 1, "images": 1})
    status, said, refused = facever("gallery", "remove", gallery, "c", "nobody")
    assert (status, said) == (2, "")
    assert "no person 'nobody' is enrolled" in refused
    assert json.loads(facever("gallery", "info", gallery, "--json")[1])["people"] == 1


def test_what_was_removed_is_known_by_its_id_only(facever, gallery: Path) -> None:
    words = ("gallery", "audit", gallery)
    assert facever(*words, "--person", "a")[:2] == (1, "'a': never removed\n")
    facever("gallery", "remove", gallery, "a")
    status, said, _ = facever(*words, "--person", "a")
    assert status == 0
    assert said.startswith("'a': removed 20")
    assert json.loads(facever(*words, "--person", "b", "--json")[1])["removed"] is None
    (entry,) = json.loads(facever(*words, "--json")[1])
    facever("gallery", "merge", gallery, "b", "c")
    facever("gallery", "update", gallery, "c", "--rename", "d")
    for person, said in (("b", "merged into another person"), ("c", "renamed")):
        status, told, _ = facever(*words, "--person", person)
        assert status == 1
        assert told.startswith(f"'{person}': not removed, but {said} 20")
    told = json.loads(facever(*words, "--person", "b", "--json")[1])
    assert (told["removed"], told["action"]) == (None, "merge")
    assert (entry["action"], entry["images"], len(entry["person"])) == ("remove", 2, 64)
    assert f"remove       2  {entry['person'][:16]}" in facever(*words)[1]


def test_purge_leaves_no_byte(facever, gallery: Path) -> None:
    others = np.random.default_rng(0).normal(size=(1000, 8))
    units = others / np.linalg.norm(others, axis=1, keepdims=True)
    with Gallery.open(gallery) as opened:
        opened.enroll(units, "others", fingerprint=opened.fingerprint)
        opened.rebuild()
        vector = np.asarray(opened._store.vectors_of("a")[0], "<f4").tobytes()
    facever("gallery", "remove", gallery, "a")
    assert any(vector in path.read_bytes() for path in gallery.iterdir())  # in the index
    status, said, _ = facever("gallery", "purge", gallery)
    assert status == 0
    assert said.startswith(f"purged:  the store, its log and the index of {gallery}\nbytes:   ")
    told = json.loads(facever("gallery", "purge", gallery, "--json")[1])
    assert told["total"] == {"people": 3, "images": 1004}
    assert told["after"] == sum(path.stat().st_size for path in gallery.iterdir())
    assert all(vector not in path.read_bytes() for path in gallery.iterdir())
