"""A damaged vector never matches, wherever its copy lies; it is named, and the rest goes on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facever.errors import GalleryError
from facever.gallery.gallery import Gallery
from facever.gallery.index import snapshot as snapshots
from facever.gallery.index.sealed import seal, unseal

MODEL, DIMENSION, PEOPLE = "model-1", 16, 40
KINDS = ["flat", "HNSW8:efSearch=64", "IVF4,Flat:nprobe=4"]


def make(place: str | Path, units: Callable[..., NDArray[np.float32]], **settings: str) -> NDArray:
    """Enrol two images each of forty people; return the vectors."""
    vectors = units(2 * PEOPLE, 1, DIMENSION)
    people = [f"p{row // 2:02d}" for row in range(2 * PEOPLE)]
    sources = [f"{row}.jpg" for row in range(2 * PEOPLE)]
    with Gallery.create(place, fingerprint=MODEL, dimension=DIMENSION, **settings) as gallery:
        gallery.enroll(vectors, people, fingerprint=MODEL, sources=sources)
    return vectors


@pytest.fixture
def spoil_store(run_sql: Callable) -> Callable[[int, Callable[[bytearray], object]], None]:
    """Change the bytes of an image's vector in the store, as a disk does."""

    def spoil(image: int, change: Callable[[bytearray], object]) -> None:
        ((blob,),) = run_sql("SELECT vector FROM images WHERE image = ?", [image])
        content = bytearray(blob)
        change(content)
        run_sql("UPDATE images SET vector = ? WHERE image = ?", [bytes(content), image])

    return spoil


def spoil_snapshot(folder: Path, change: Callable[[NDArray[np.float32]], object]) -> None:
    """Change the vectors [N, D] of a snapshot and seal it again, so that it looks whole."""
    file = folder / snapshots.FILE
    content, said = unseal(file, snapshots.MAGIC)
    copy = np.array(content)
    vectors = copy[: 4 * said["count"] * said["dimension"]].view("<f4")
    change(vectors.reshape(said["count"], said["dimension"]))
    file.write_bytes(copy.tobytes())
    seal(file, snapshots.MAGIC, said)


def exponent(content: bytearray) -> None:
    content[7] ^= 0x40  # of the second float32: about 1e38 times as large


def flipped(bit: int) -> Callable[[bytearray], None]:
    def flip(content: bytearray) -> None:
        content[bit // 8] ^= 1 << bit % 8

    return flip


@pytest.mark.parametrize("policy", ["all", "medoids:2"])
@pytest.mark.parametrize("rule", ["max", "mean"])
def test_a_flipped_bit_lets_no_stranger_in(
    place, spoil_store, units, make_point, capsys, rule: str, policy: str
) -> None:
    vectors = make(place, units)
    spoil_store(5, exponent)
    with Gallery.open(place) as gallery:
        gallery.set_templates(policy)
        point = make_point("1:N", 0.999, gallery_size=PEOPLE, score_rule=rule, templates=policy)
        found = gallery.search(
            units(1000, 2, DIMENSION), 3, fingerprint=MODEL, operating_point=point
        )
        assert sum(bool(answer.known) for answer in found) == 0
        assert all(len(answer.candidates) == 3 for answer in found)
        assert max(c.score for answer in found for c in answer.candidates) <= 1
        said = capsys.readouterr().err
        assert said.count("image 5 of 'p02' ('4.jpg')") == 1  # once
        # the person's other image, and everybody else, are found as before
        for row in (5, 12):
            best = gallery.search(vectors[row], 1, fingerprint=MODEL, rule="max")[0].candidates[0]
            assert (best.person, best.score) == (f"p{row // 2:02d}", pytest.approx(1, abs=1e-6))
        assert gallery.verify(vectors[4], "p02", fingerprint=MODEL).scores[0] < 0.99
        assert "image 5 of 'p02' ('4.jpg')" in "".join(f.problem for f in gallery.check())


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def test_every_bit_of_a_vector_counts(
    place, where_kept: str, spoil_store, units, capsys, storage: str
) -> None:
    vectors = make(place, units, storage=storage)
    bits = {"float32": 32, "float16": 16, "int8": 8}[storage] * DIMENSION
    step = {"folder": 1 if storage == "int8" else 7, "postgres": 29}[where_kept]
    for bit in range(0, bits, step):
        spoil_store(9, flipped(bit))
        with Gallery.open(place) as gallery:
            best = gallery.search(vectors[8], 1, fingerprint=MODEL)[0].candidates[0]
            assert best.score < 0.99, bit
            assert "image 9 of 'p04'" in capsys.readouterr().err
        spoil_store(9, flipped(bit))
    with Gallery.open(place) as gallery:
        assert gallery.check() == []
        assert gallery.search(vectors[8], 1, fingerprint=MODEL)[0].candidates[0].score > 0.999


def test_who_has_only_damaged_images_cannot_be_verified(place, spoil_store, units, capsys) -> None:
    vectors = make(place, units)
    for image in (1, 2):
        spoil_store(image, exponent)
    with Gallery.open(place) as gallery:
        with pytest.raises(GalleryError, match="all vectors of 'p00' are damaged"):
            gallery.verify(vectors[0], "p00", fingerprint=MODEL)
        assert len(gallery.search(vectors[0], 3, fingerprint=MODEL)[0].candidates) == 3


def test_vectors_that_changed_places_match_nobody(place, run_sql, units, capsys) -> None:
    vectors = make(place, units)
    blobs = dict(run_sql("SELECT image, vector FROM images WHERE image IN (1, 3)"))
    run_sql("UPDATE images SET vector = ? WHERE image = 1", [blobs[3]])
    run_sql("UPDATE images SET vector = ? WHERE image = 3", [blobs[1]])
    run_sql("UPDATE images SET person = 9 WHERE image = 7")
    with Gallery.open(place) as gallery:
        for row in (0, 2, 6):
            assert gallery.search(vectors[row], 1, fingerprint=MODEL)[0].candidates[0].score < 0.99
        assert {1, 3, 7} == {
            number for number in (1, 3, 5, 7)
            if any(f"image {number} of" in finding.problem for finding in gallery.check())
        }  # fmt: skip


def damage(name: str) -> Callable[[NDArray[np.float32]], None]:
    """What becomes of row 4 of a snapshot, an image of p02."""

    def change(vectors: NDArray[np.float32]) -> None:
        if name == "huge":
            vectors[4] *= np.float32(1e37)
        elif name == "negative":
            vectors[4, 0] *= np.float32(-1e37)
        elif name == "inf":
            vectors[4, 3] = np.inf
        elif name == "nan":
            vectors[4, 3] = np.nan
        elif name == "another's":
            vectors[4] = vectors[20]
        elif name == "all huge":
            vectors[::3] *= np.float32(1e37)

    return change


DAMAGES = ["huge", "negative", "inf", "another's", "all huge"]


@pytest.mark.parametrize(("rule", "filtered"), [("max", False), ("mean", True)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_snapshot_changes_no_answer(
    place, index_folder, units, capsys, name: str, kind: str, filtered: bool, rule: str
) -> None:
    make(place, units, index=kind)
    probes = units(60, 3, DIMENSION)
    asked = {"fingerprint": MODEL, "rule": rule}
    with Gallery.open(place) as gallery:
        if filtered:
            for number in range(PEOPLE - 5):
                gallery.update(f"p{number:02d}", {"site": "A"})
            asked["where"] = {"site": "A"}
        gallery.rebuild()
        right = gallery.search(probes, 4, **asked).answers
    spoil_snapshot(index_folder, damage(name))
    with Gallery.open(place) as gallery:
        found = gallery.search(probes, 4, **asked).answers
        for answer, expected in zip(found, right, strict=True):
            assert max(c.score for c in answer.candidates) <= 1
            if name != "negative":  # which hides the image; only `check` can know
                assert answer == expected
    if name not in ("negative", "another's"):  # the index was made again
        with Gallery.open(place) as gallery:
            assert gallery.check() == []


@pytest.mark.parametrize("name", ["nan", "negative", "another's", "huge"])
def test_check_finds_a_row_that_hides_the_right_person(
    place, index_folder, units, name: str
) -> None:
    vectors = make(place, units)
    with Gallery.open(place) as gallery:
        gallery.rebuild()
        assert gallery.check() == []
    spoil_snapshot(index_folder, damage(name))
    with Gallery.open(place) as gallery:
        (finding,) = gallery.check()
        assert finding.part == "index"
        assert "entry 5" in finding.problem
        assert "rebuild" in finding.problem
        gallery.rebuild()
        assert gallery.check() == []
        best = gallery.search(vectors[4], 1, fingerprint=MODEL)[0].candidates[0]
        assert (best.person, best.score) == ("p02", pytest.approx(1, abs=1e-6))


def test_what_is_damaged_in_store_and_snapshot_goes(
    place, spoil_store, index_folder, units, capsys
) -> None:
    vectors = make(place, units)
    with Gallery.open(place) as gallery:
        gallery.rebuild()
    spoil_store(5, exponent)
    spoil_snapshot(index_folder, damage("huge"))
    with Gallery.open(place) as gallery:
        found = gallery.search(units(50, 2, DIMENSION), 2, fingerprint=MODEL)
        assert all(len(answer.candidates) == 2 for answer in found)
        assert max(c.score for answer in found for c in answer.candidates) <= 1
        assert "image 5 of 'p02' ('4.jpg')" in capsys.readouterr().err
        gallery.rebuild()
        assert [finding.part for finding in gallery.check()] == ["store"]
        # removed and enrolled again, as the warning says
        gallery.remove("p02", 5)
        gallery.enroll(vectors[4:5], ["p02"], fingerprint=MODEL, sources=["4.jpg"])
        assert gallery.check() == []
        assert gallery.search(vectors[4], 1, fingerprint=MODEL)[0].candidates[0].score > 0.999


def test_a_damaged_vector_is_never_made_whole_by_a_change(
    place, spoil_store, tmp_path: Path, units, capsys
) -> None:
    """Another owner, storage, template policy or place leaves it damaged."""
    vectors = make(place, units)
    spoil_store(5, exponent)
    with Gallery.open(place) as gallery:
        gallery.merge("p02", "p03")
        gallery.split("p03", ["4.jpg", "6.jpg"], "apart")
        gallery.set_storage("int8")
        gallery.set_storage("float32")
        gallery.purge()
        gallery.rebuild()
        (image,) = [one.image for one in gallery.images("apart") if one.source == "4.jpg"]
        assert f"image {image} of 'apart' ('4.jpg')" in gallery.check()[0].problem
        assert gallery.search(vectors[4], 1, fingerprint=MODEL)[0].candidates[0].score < 0.99
        assert gallery.export(tmp_path / "export") == 2 * PEOPLE - 1
    with Gallery.create(tmp_path / "copy", fingerprint=MODEL, dimension=DIMENSION) as copy:
        assert copy.import_(tmp_path / "export").images == 2 * PEOPLE - 1
        assert copy.check() == []


@pytest.mark.parametrize("policy", ["mean", "medoids:1"])
def test_a_damaged_template_is_made_again(place, run_sql, units, capsys, policy: str) -> None:
    make(place, units, templates=policy)
    run_sql("UPDATE templates SET vector = ? WHERE person = 3", [bytes(64)])
    with Gallery.open(place) as gallery:
        probe = units(1, 2, DIMENSION)
        everyone = gallery.search(probe, PEOPLE, fingerprint=MODEL)[0].candidates
        assert "p02" not in {candidate.person for candidate in everyone}
        assert "template 3 of 'p02'" in capsys.readouterr().err
        assert [finding.part for finding in gallery.check()] == ["templates"]
        gallery.rebuild()
        assert gallery.check() == []
        everyone = gallery.search(probe, PEOPLE, fingerprint=MODEL)[0].candidates
        assert "p02" in {candidate.person for candidate in everyone}


def test_a_damaged_pending_vector_is_embedded_again(place, run_sql, units, capsys) -> None:
    from facever.gallery.records import Binding

    make(place, units)
    images = list(range(1, 2 * PEOPLE + 1))
    new = units(len(images), 5, 8)
    with Gallery.open(place) as gallery:
        gallery.begin_migration(Binding("model-2", 8))
        gallery.add_migrated(images, new, [None] * len(images), fingerprint="model-2")
    run_sql("UPDATE migrated SET vector = ? WHERE image = 7", [bytes(32)])
    with Gallery.open(place) as gallery:
        assert "image 7" in gallery.check()[0].problem
        with pytest.raises(GalleryError, match="1 images are not embedded"):
            gallery.finish_migration("model-2")
        pending = [image.image for image in gallery.pending_images()]
        assert pending == [7]
        gallery.add_migrated([7], new[6:7], [None], fingerprint="model-2")
        gallery.finish_migration("model-2")
        assert gallery.check() == []


def test_enrolment_is_not_judged_by_a_damaged_vector(
    place, spoil_store, units, make_point, capsys
) -> None:
    make(place, units)
    spoil_store(5, exponent)
    with Gallery.open(place) as gallery:
        gallery.add_operating_point("door", make_point("1:1-image", 0.9, gallery_size=None))
        done = gallery.enroll(units(20, 6, DIMENSION), "new", fingerprint=MODEL, near=0.95)
        assert (done.images, done.duplicates, done.conflicts) == (20, [], [])
        gallery.set_templates("mean")
        done = gallery.enroll(units(20, 7, DIMENSION), "new", fingerprint=MODEL, near=0.95)
        assert (done.images, done.duplicates, done.conflicts) == (20, [], [])
