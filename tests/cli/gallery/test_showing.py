import json
from pathlib import Path


def test_info(facever, gallery: Path) -> None:
    status, said, _ = facever("gallery", "info", gallery)
    assert status == 0
    assert "people            3\nimages            6\n" in said
    assert "templates         all, 6 vectors to compare with\n" in said
    told = json.loads(facever("gallery", "info", gallery, "--json")[1])
    assert (told["people"], told["images"], told["dimension"]) == (3, 6, 8)


def test_people_and_images(facever, gallery: Path, people: Path) -> None:
    facever("gallery", "update", gallery, "b", "site=A", "floor=3")
    facever("gallery", "update", gallery, "c", "site=B")
    words = ("gallery", "people", gallery)
    assert facever(*words)[1] == (
        "images  person\n------  ------\n     2  'a'\n     2  'b'\n     2  'c'\n"
    )
    for asked, expected in (
        (("site=A",), ["b"]),
        (("site=A", "site=B"), ["b", "c"]),
        (("site=A", "site=B", "floor=3"), ["b"]),
        (("floor=4",), []),
    ):
        where = [word for one in asked for word in ("--where", one)]
        told = json.loads(facever(*words, *where, "--json")[1])
        assert [one["person"] for one in told] == expected
    status, said, _ = facever("gallery", "images", gallery, "b")
    assert status == 0
    assert said.startswith("'site': 'A'\n'floor': '3'\nimage  ")
    assert said.count(f"'{people}/b/") == 2


def test_numbers_of_a_table_are_found_by_where(facever, gallery: Path, model, people, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(f"path,identity,floor\n{people}/a/0.png,ann,3\n")
    words = ("gallery", "enroll", gallery, table, "--model", model, "--duplicates", "keep")
    assert facever(*words, "--metadata-columns", "floor")[0] == 0
    told = json.loads(facever("gallery", "people", gallery, "--where", "floor=3", "--json")[1])
    assert told == [{"person": "ann", "images": 1}]
