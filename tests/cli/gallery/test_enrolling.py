import json
from pathlib import Path

import pytest

from facever.evaluation.failures import FailureRate
from facever.gallery.gallery import Gallery
from facever.models.loading import load_model


def test_create_and_enroll(facever, model: Path, people: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    status, said, _ = facever("gallery", "create", folder, "--model", model)
    assert (status, f"gallery           {folder}\n" in said) == (0, True)
    status, said, warned = facever("gallery", "enroll", folder, people, "--model", model)
    assert (status, said) == (
        0,
        "enrolled: 6 images, 3 new people\n"
        f"failed:   {FailureRate(1, 7).told('FTA')} images\n          0 of 3 people not enrolled\n"
        f"gallery:  6 images of 3 people in {folder}\n",
    )
    assert warned.startswith(f"warning: not enrolled: 1 image ({people}/c/6.png: ")


def test_embeddings_in_and_out(facever, gallery, model, people, tmp_path: Path) -> None:
    made = load_model(model, flip=True)
    embedded = tmp_path / "faces"
    assert facever("embed", model, people, "--out", embedded, "--flip", "--workers", 0)[0] == 0
    folder = tmp_path / "flipped"
    assert facever("gallery", "create", folder, "--from-embeddings", embedded)[0] == 0
    status, said, _ = facever("gallery", "enroll", folder, embedded, "--json")
    told = json.loads(said)
    assert (status, told["images"], told["total"]) == (0, 6, {"people": 3, "images": 6})
    status, said, _ = facever("gallery", "search", folder, "--embeddings", embedded, "-k", 1)
    assert status == 0
    assert "'c/6.png'\n  no vector: " in said
    # an image is embedded with the gallery's own options
    probe = people / "b" / "2.png"
    told = json.loads(facever("gallery", "search", folder, probe, "--model", model, "--json")[1])
    assert told["answers"][0]["candidates"][0]["score"] == pytest.approx(1, abs=1e-5)
    status, _, refused = facever("gallery", "enroll", gallery, embedded)
    assert status == 2
    assert made.fingerprint in refused
    assert load_model(model).fingerprint in refused


def test_one_person(facever, gallery: Path, model: Path, people: Path) -> None:
    words = ("gallery", "enroll", gallery, people / "a" / "0.png", "--model", model)
    status, said, noted = facever(*words, "--person", "ann", "--metadata", "team=red")
    assert (status, said.splitlines()[0]) == (0, "enrolled: 0 images, 0 new people")
    assert noted == (
        f"warning: already enrolled as another person: 1 image ('{people}/a/0.png' of 'ann' as "
        "'a')\n"
    )
    keep = (*words, "--person", "a\x1b[31m<b>", "--metadata", "team=red", "--duplicates", "keep")
    assert facever(*keep)[0] == 0
    _, said, _ = facever("gallery", "search", gallery, people / "a" / "0.png", "--model", model)
    assert r"'a\x1b[31m<b>'" in said  # never the terminal's own commands


def test_known_images_are_one_line(facever, gallery: Path, model: Path, people: Path) -> None:
    status, said, noted = facever("gallery", "enroll", gallery, people, "--model", model)
    assert (status, said.splitlines()[0]) == (0, "enrolled: 0 images, 0 new people")
    known = ", ".join(f"'{people}/{name}.png'" for name in ("a/0", "a/1", "b/2"))
    assert noted.splitlines()[1:] == [f"already enrolled: 6 images ({known}, ...)"]


def test_columns_of_a_table_become_metadata(
    facever, gallery: Path, model: Path, people: Path, tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    rows = ("a/0.png,ann,A,3,x", "a/1.png,ann,,3,y", "b/2.png,bob,B,,z")
    table.write_text("path,identity,site,floor,shot\n" + "".join(f"{people}/{r}\n" for r in rows))
    words = ("gallery", "enroll", gallery, table, "--model", model, "--duplicates", "keep")
    assert facever(*words, "--metadata-columns", "site,floor")[0] == 0
    with Gallery.open(gallery) as opened:
        assert opened.metadata("ann") == {"site": "A", "floor": "3"}
        assert opened.metadata("bob") == {"site": "B"}
    for column, message in (
        ("siet", "unknown column 'siet'; did you mean 'site'?"),
        (
            "shot",
            "column 'shot' has different values for 'ann' (x, y): metadata belongs to a person",
        ),
    ):
        status, _, refused = facever(*words, "--metadata-columns", column)
        assert (status, refused.count("\n")) == (2, 1)
        assert message in refused


def test_faces_of_somebody_else(facever, gallery, model, people, save_point) -> None:
    image = people / "a" / "0.png"
    words = ("gallery", "enroll", gallery, image, "--model", model, "--person", "eve")
    facever("gallery", "threshold", gallery, save_point("strict", 0.9999))
    keep = (*words, "--duplicates", "keep")
    status, said, refused = facever(*keep, "--conflicts", "refuse")
    assert (status, said, refused.count("\n")) == (2, "", 1)
    assert "'a'" in refused
    assert facever(*words, "--duplicates", "keep", "--conflict-point", "other")[0] == 2
    status, said, warned = facever(*keep, "--conflict-point", "strict")
    assert (status, said.splitlines()[0]) == (0, "enrolled: 1 image, 1 new person")
    assert (
        f"warning: enrolled although another person matches: 1 image ('{image}' of 'eve' matches "
        "'a', 1.0000)\n"
    ) in warned
    _, _, warned = facever(*keep, "--conflicts", "ignore")
    assert "matches" not in warned


def test_near_duplicates(facever, gallery, model, people, tmp_path: Path) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes((people / "a" / "0.png").read_bytes() + b"other bytes")
    words = ("gallery", "enroll", gallery, copy, "--model", model, "--person", "a")
    status, said, noted = facever(*words, "--near", "0.999")
    assert (status, said.splitlines()[0]) == (0, "enrolled: 0 images, 0 new people")
    assert noted == f"already enrolled: 1 image ('{copy}')\n"
    assert facever(*words)[1].splitlines()[0] == "enrolled: 1 image, 0 new people"


def test_a_column_weighs_the_images(facever, gallery, model, people, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text(f"path,identity,sharp\n{people}/a/0.png,ann,0.5\n{people}/a/1.png,ann,\n")
    keep = ("--duplicates", "keep", "--quality")
    assert facever("gallery", "enroll", gallery, table, "--model", model, *keep, "sharp")[0] == 0
    embedded = tmp_path / "faces"
    facever("embed", model, table, "--out", embedded, "--workers", 0)
    with Gallery.open(gallery) as opened:
        assert [image.quality for image in opened.images("ann")] == [0.5, None]
        opened.remove("ann")
    assert facever("gallery", "enroll", gallery, embedded, *keep, "sharp")[0] == 0
    with Gallery.open(gallery) as opened:
        assert [image.quality for image in opened.images("ann")] == [0.5, None]
    for source in ((table, "--model", model), (embedded,)):
        status, _, refused = facever("gallery", "enroll", gallery, *source, *keep, "sharpe")
        assert (status, refused.count("\n")) == (2, 1)
        assert "unknown column 'sharpe'; did you mean 'sharp'?" in refused


def test_a_gallery_that_python_made_is_the_command_lines(
    facever, model: Path, people: Path, tmp_path: Path
) -> None:
    """Bound to a model it has the extraction options, by which the command line embeds."""
    flipped = load_model(model, flip=True)
    Gallery.create(tmp_path / "python", flipped).close()
    facever("gallery", "create", tmp_path / "commands", "--model", model, "--flip")
    kept = ("fingerprint", "dimension", "metric", "preprocessing", "options")
    told = [
        json.loads(facever("gallery", "info", tmp_path / name, "--json")[1])
        for name in ("python", "commands")
    ]
    assert [told[0][name] for name in kept] == [told[1][name] for name in kept]
    assert told[0]["options"] == {"flip": True, "precision": "fp32"}
    words = ("gallery", "enroll", tmp_path / "python", people, "--model", model)
    status, said, _ = facever(*words)
    assert (status, said.splitlines()[0]) == (0, "enrolled: 6 images, 3 new people")
