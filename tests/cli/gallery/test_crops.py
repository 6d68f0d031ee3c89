import json
import shutil
from pathlib import Path

from facever.data.crops import is_plain_png
from facever.gallery.gallery import Gallery


def test_crops_are_kept_from_the_beginning(
    facever, model: Path, models: list[Path], people: Path, tmp_path: Path
) -> None:
    gallery, photos = tmp_path / "gallery", shutil.copytree(people, tmp_path / "photos")
    made = facever("gallery", "create", gallery, "--model", model, "--keep-crops", "--json")
    assert json.loads(made[1])["keep_crops"]
    assert facever("gallery", "enroll", gallery, photos, "--model", model)[0] == 0
    assert facever("gallery", "crops", gallery)[:2] == (0, "crops:   kept, of 6 of 6 images\n")
    with Gallery.open(gallery) as opened:
        assert is_plain_png(opened.crop("a", 1))
    shutil.rmtree(photos)
    said = facever("gallery", "migrate", gallery, "--model", models[1])[1]
    assert said.startswith("embedded: 6 images (6 of kept crops)\n")
    said = facever("gallery", "crops", gallery, "--remove")[:2]
    assert said == (0, "removed: 6 crops\ncrops:   not kept\n")
    assert facever("gallery", "check", gallery)[0] == 0


def test_they_can_be_kept_later(facever, gallery: Path, people: Path, model: Path) -> None:
    assert facever("gallery", "crops", gallery)[:2] == (0, "crops:   not kept\n")
    before = {"keep_crops": True, "crops": 0, "images": 6, "removed": 0}
    assert json.loads(facever("gallery", "crops", gallery, "--keep", "--json")[1]) == before
    again = ("--model", model, "--duplicates", "keep", "--person", "d")
    assert facever("gallery", "enroll", gallery, people / "a", *again)[0] == 0
    assert facever("gallery", "crops", gallery)[1] == "crops:   kept, of 2 of 8 images\n"
    listed = json.loads(facever("gallery", "images", gallery, "d", "--json")[1])["images"]
    assert [one["crop"] for one in listed] == [True, True]


def test_wrong_use(facever, gallery: Path, tmp_path: Path) -> None:
    status, _, said = facever("gallery", "crops", gallery, "--keep", "--remove")
    assert (status, said) == (2, "error: give either --keep or --remove\n")
    status, _, said = facever("gallery", "crops", tmp_path / "none", "--keep")
    assert (status, "no gallery at" in said) == (2, True)
