import json
from pathlib import Path

from facever.gallery.gallery import Gallery


def test_update_sets_forgets_and_renames(facever, gallery: Path) -> None:
    words = ("gallery", "update", gallery, "a")
    assert facever(*words, "site=A", "role=guest")[:2] == (0, "'a': 'site': 'A', 'role': 'guest'\n")
    status, said, _ = facever(*words, "site=B=C", "--forget", "role", "--rename", "ann", "--json")
    assert (status, json.loads(said)) == (0, {"person": "ann", "metadata": {"site": "B=C"}})
    assert facever("gallery", "update", gallery, "ann", "--forget", "site")[1] == (
        "'ann': no metadata\n"
    )
    with Gallery.open(gallery) as opened:
        assert [one.person for one in opened.people()] == ["ann", "b", "c"]


def test_merge_and_split(facever, gallery: Path, people: Path) -> None:
    status, said, _ = facever("gallery", "merge", gallery, "b", "a")
    assert (status, said) == (0, "merged: 2 images moved from 'b' to 'a'\n")
    told = json.loads(facever("gallery", "images", gallery, "a", "--json")[1])["images"]
    second = next(one["image"] for one in told if one["source"].endswith("/b/3.png"))
    source = people / "b" / "2.png"
    status, said, _ = facever("gallery", "split", gallery, "a", "bob", source, second)
    assert (status, said) == (0, "split: 2 images moved from 'a' to 'bob'\n")
    words = ("gallery", "merge", gallery, "bob", "c", "--json")
    assert json.loads(facever(*words)[1]) == {"person": "c", "merged": "bob", "images": 2}
    words = ("gallery", "split", gallery, "c", "bea", source, "--json")
    assert json.loads(facever(*words)[1]) == {"person": "bea", "split": "c", "images": 1}
    with Gallery.open(gallery) as opened:
        assert [tuple(one) for one in opened.people()] == [("a", 2), ("c", 3), ("bea", 1)]
