import json
import shutil
from pathlib import Path

from facever.models.loading import load_model


def test_migrate(facever, gallery: Path, models: list[Path], people: Path, save_point) -> None:
    old, new = (load_model(path).fingerprint for path in models)
    facever("gallery", "threshold", gallery, save_point("strict", 0.5))
    status, said, noted = facever("gallery", "migrate", gallery, "--model", models[1])
    assert (status, said) == (
        0,
        f"embedded: 6 images\nremoved:  0 images that could not be embedded\n"
        f"moved:    from {old} to {new}\n",
    )
    assert noted == (
        "removed with the old model: 'strict'; measure new operating points for the new model\n"
    )
    image = people / "b" / "2.png"
    told = json.loads(
        facever("gallery", "search", gallery, image, "--model", models[1], "--json")[1]
    )
    assert told["answers"][0]["candidates"][0]["person"] == "b"


def test_missing_images_and_giving_up(
    facever, gallery: Path, models: list[Path], people: Path, tmp_path: Path
) -> None:
    gone = people / "a" / "0.png"
    (tmp_path / "kept").mkdir()
    kept = gone.rename(tmp_path / "kept" / "0.png")
    copy = shutil.copytree(gallery, tmp_path / "copy")
    words = ("gallery", "migrate", gallery, "--model", models[1])
    try:
        status, said, refused = facever(*words)
        assert (status, said) == (2, "embedded: 5 images\n")
        assert refused.splitlines() == [
            f"missing: image 1 of 'a', '{gone}': no such file",
            "error: 1 image cannot be embedded again, so the old model stays in use: restore "
            "them, give their folder (--data ROOT), or give --missing remove",
        ]
        told = json.loads(facever(*words, "--json")[1])
        assert (told["finished"], told["resumed"], len(told["missing"])) == (False, 5, 1)
        found = ("--model", models[1], "--data", kept.parent, "--json")
        told = json.loads(facever("gallery", "migrate", copy, *found)[1])
        assert (told["finished"], told["images"], told["missing"]) == (True, 6, [])
        assert facever("gallery", "migrate", gallery, "--model", models[1], "--flip")[0] == 2
        status, said, _ = facever("gallery", "migrate", gallery, "--abandon")
        assert (status, said) == (
            0,
            f"abandoned: the gallery keeps the model {load_model(models[0]).fingerprint}\n",
        )
        told = json.loads(facever(*words, "--flip", "--missing", "remove", "--json")[1])
        assert (told["finished"], told["images"], len(told["missing"])) == (True, 5, 1)
        assert told["fingerprint"] == load_model(models[1], flip=True).fingerprint
        # the options stay as they are: it is of the model with its mirror images
        status, _, refused = facever(*words)
        assert (status, "already" in refused) == (2, True)
    finally:
        kept.rename(gone)
