import json
from pathlib import Path


def test_settings_are_chosen_and_changed(
    facever, model: Path, people: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "gallery"
    words = ("--templates", "mean", "--storage", "float16", "--index", "flat", "--json")
    made = json.loads(facever("gallery", "create", folder, "--model", model, *words)[1])
    assert (made["templates"], made["storage"], made["index"]) == ("mean", "float16", "flat")
    facever("gallery", "enroll", folder, people, "--model", model)
    changed = ("--templates", "medoids:1", "--storage", "int8", "--index", "HNSW8", "--json")
    told = json.loads(facever("gallery", "rebuild", folder, *changed)[1])
    assert (told["templates"], told["storage"], told["index"]) == ("medoids:1", "int8", "HNSW8")
    assert (told["images"], told["entries"]) == (6, 3)
    assert told == json.loads(facever("gallery", "info", folder, "--json")[1])
    for option, value in (("--templates", "best"), ("--storage", "int4"), ("--index", "tree")):
        status, said, refused = facever("gallery", "rebuild", folder, option, value)
        assert (status, said, refused.count("\n")) == (2, "", 1)
        assert value in refused


def test_export_and_import(facever, gallery: Path, tmp_path: Path) -> None:
    facever("gallery", "update", gallery, "a", "site=A")
    out, other = tmp_path / "export", tmp_path / "other"
    status, said, _ = facever("gallery", "export", gallery, out)
    assert (status, said.splitlines()[0]) == (0, f"exported: 6 images to {out}")
    assert facever("gallery", "create", other, "--from-embeddings", out)[0] == 0
    status, said, _ = facever("gallery", "import", other, out)
    assert (status, said.splitlines()[0]) == (0, "enrolled: 6 images, 3 new people")
    for person in "abc":
        words = ("--json",)
        was = json.loads(facever("gallery", "images", gallery, person, *words)[1])
        assert json.loads(facever("gallery", "images", other, person, *words)[1]) == was
    told = json.loads(facever("gallery", "import", other, out, "--json")[1])
    assert (told["images"], len(told["duplicates"])) == (0, 6)
    assert json.loads(facever("gallery", "export", gallery, out, "--json")[1]) == {
        "export": str(out),
        "images": 6,
    }
    assert facever("gallery", "import", other, out, "--duplicates", "refuse")[0] == 2


def test_check_says_what_is_wrong(facever, gallery: Path) -> None:
    words = ("gallery", "check", gallery)
    assert facever(*words)[:2] == (0, "no problem found: 6 images of 3 people\n")
    assert json.loads(facever(*words, "--json")[1])["findings"] == []
    gallery.chmod(0o755)
    status, said, _ = facever(*words)
    assert (status, said) == (
        1,
        f"files: {gallery} is accessible to users other than the owner (mode 755)\n",
    )
    (finding,) = json.loads(facever(*words, "--json")[1])["findings"]
    assert finding["part"] == "files"
