from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facever.data.manifest import Manifest
from facever.embedding.extractor import Extractor, load_model
from facever.errors import DataError, GalleryError
from facever.gallery.gallery import Gallery
from facever.vectors.embedding_set import EmbeddingSet
from facever.workflows.enrollment import (
    create_gallery,
    embeddings_of,
    enroll_images,
    gallerys_extractor,
    manifest_of,
    metadata_of,
    with_quality,
)
from facever.workflows.recognition import search_images, verify_images


def test_from_images_to_answers(
    make_point, gallery: Gallery, model: Extractor, people: Path
) -> None:
    done = enroll_images(gallery, model, manifest_of([str(people)], None))
    assert (done.images, done.new_people, done.duplicates) == (12, 4, [])
    assert [source for source, _ in done.failed] == [str(people / "a" / "broken.jpg")]
    again = enroll_images(gallery, model, manifest_of([str(people)], None))
    assert (again.images, len(again.duplicates)) == (0, 12)

    probes = [people / "b" / "1.png", people / "d" / "0.png"]
    found = search_images(gallery, model, probes, k=2)
    assert [answer.candidates[0].person for answer in found] == ["b", "d"]
    assert [answer.candidates[0].score for answer in found] == pytest.approx([1, 1], abs=1e-5)

    probes.append(people / "a" / "broken.jpg")
    point = make_point(model, threshold=0.99999)
    result = verify_images(gallery, model, "b", probes, point)
    assert result.same == [True, False, None]
    assert [error is None for error in result.errors] == [True, True, False]


def test_duplicates_are_known_by_their_bytes(
    gallery: Gallery, model: Extractor, people: Path, tmp_path: Path
) -> None:
    enroll_images(gallery, model, manifest_of([str(people / "a" / "0.png")], "ann"))
    copy = tmp_path / "copy.png"
    copy.write_bytes((people / "a" / "0.png").read_bytes())
    done = enroll_images(gallery, model, manifest_of([str(copy)], "bea"))
    assert [(d.person, d.known_as) for d in done.duplicates] == [("bea", "ann")]
    copy.write_bytes((people / "a" / "1.png").read_bytes())
    assert enroll_images(gallery, model, manifest_of([str(copy)], "bea")).images == 1


def test_images_of_an_array_file(gallery: Gallery, model: Extractor, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), dtype=np.uint8)
    pixels[2] = pixels[0]
    np.save(tmp_path / "faces.npy", pixels)
    frame = pd.DataFrame({"path": [f"faces.npy#{i}" for i in range(3)], "identity": list("abc")})
    done = enroll_images(gallery, model, Manifest.from_frame(frame, tmp_path, "faces"))
    assert [(d.person, d.known_as) for d in done.duplicates] == [("c", "a")]


def test_when_no_image_can_be_read_nothing_is_enrolled(
    gallery: Gallery, model: Extractor, people: Path
) -> None:
    broken = str(people / "a" / "broken.jpg")
    with pytest.raises(DataError, match="not one of 1 images could be read"):
        enroll_images(gallery, model, manifest_of([broken], "a"))
    with pytest.raises(DataError, match=r"broken\.jpg"):
        search_images(gallery, model, [broken])
    assert gallery.info().people == 0


def test_whom_images_show(people: Path, tmp_path: Path) -> None:
    one = str(people / "a" / "0.png")
    assert manifest_of([one, str(people / "b")], "x").frame["identity"].tolist() == ["x"] * 4
    table = tmp_path / "table.csv"
    table.write_text(f"path,identity\n{one},ann\n")
    assert manifest_of([str(table)], None).identities == ["ann"]
    (tmp_path / "empty").mkdir()
    for given, person, message in (
        ([one], None, "whom does .*0.png show"),
        ([str(people), str(people)], None, "--person ID"),
        ([str(tmp_path / "nothing.png")], "x", "no such path"),
        ([str(tmp_path / "nothing")], None, "no data"),
        ([str(tmp_path / "empty")], "x", "no images in"),
    ):
        with pytest.raises(DataError, match=message):
            manifest_of(given, person)


def test_a_gallery_bound_to_an_embedding_set(
    model: Extractor, people: Path, models: list[Path], tmp_path: Path
) -> None:
    flipped = load_model(models[0], flip=True)
    faces = flipped.extract(manifest_of([str(people)], None), tmp_path / "faces", workers=0)
    with create_gallery(tmp_path / "gallery", embeddings_of([str(tmp_path / "faces")])) as gallery:
        assert gallery.enroll(faces).images == 12
        # the gallery's options are used, without anybody repeating them
        assert gallerys_extractor(gallery, models[0]).fingerprint == flipped.fingerprint
        probe = people / "c" / "2.png"
        assert search_images(gallery, flipped, [probe], 1)[0].candidates[0].person == "c"
        for wrong in (model, load_model(models[1], flip=True)):
            for ask in (
                lambda wrong=wrong: search_images(gallery, wrong, [probe]),
                lambda wrong=wrong: verify_images(gallery, wrong, "c", [probe]),
                lambda wrong=wrong: enroll_images(gallery, wrong, manifest_of([str(people)], None)),
            ):
                with pytest.raises(GalleryError) as refusal:
                    ask()
                assert wrong.fingerprint in str(refusal.value)
                assert gallery.fingerprint in str(refusal.value)
    with pytest.raises(GalleryError, match="nobody declared"):
        create_gallery(tmp_path / "other", EmbeddingSet.from_arrays([[1, 0]], ["a"]))
    with pytest.raises(
        DataError, match="is not an embedding set; images are enrolled with --model"
    ):
        embeddings_of([str(people)])
    with pytest.raises(DataError, match="no such path"):
        embeddings_of([str(people / "nowhere")])


def test_a_table_says_the_same_of_a_person_however_it_spells_them() -> None:
    rows = pd.DataFrame({"identity": ["Jose\u0301", "Jos\u00e9 ", 1.0], "site": ["A", "A", "B"]})
    assert metadata_of(rows, ["site"]) == {"Jos\u00e9": {"site": "A"}, "1": {"site": "B"}}
    assert metadata_of(rows.iloc[:1], ["site"], person=" p") == {"p": {"site": "A"}}
    rows.loc[1, "site"] = "B"
    with pytest.raises(DataError, match="column 'site' says more than one thing of 'Jos\u00e9'"):
        metadata_of(rows, ["site"])


def test_weights_are_numbers(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("path,identity,sharp\na.png,a,0.5\nb.png,b,\n")
    frame = with_quality(manifest_of([str(table)], None).frame, "sharp")
    assert frame["quality"].tolist()[0] == 0.5
    assert frame["quality"].isna().tolist() == [False, True]
    table.write_text("path,identity,sharp\na.png,a,0.5\nb.png,b,blurred\n")
    with pytest.raises(DataError, match=r"column 'sharp' must hold numbers; row 2 holds 'blurred'"):
        with_quality(manifest_of([str(table)], None).frame, "sharp")
