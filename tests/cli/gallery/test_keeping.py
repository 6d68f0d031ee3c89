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
