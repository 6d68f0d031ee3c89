"""Another model is accepted by a measurement, and by nothing that its file says."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facever.errors import GalleryError, ModelError
from facever.gallery.gallery import Gallery
from facever.models.loading import load_model
from facever.models.onnx.model import OnnxModel
from facever.operating_point import Interval, OperatingPoint, TrialCounts
from facever.recognizer import Recognizer
from tests.onnx_files import write_export, write_network

SAME = {"last": (("Identity", "again"),), "outputs": ("again",)}
"""Another network (other bytes, another fingerprint) that gives the same vectors."""


@pytest.fixture
def original(tmp_path: Path, weights: np.ndarray) -> OnnxModel:
    return load_model(write_export(tmp_path / "original.onnx", weights, "of torch"))


@pytest.fixture
def gallery(
    place: str | Path, tmp_path: Path, original: OnnxModel, coloured: list[Path]
) -> Gallery:
    """Three people, eleven images."""
    with Gallery.create(place, original) as made:
        Recognizer(original, made).enroll(tmp_path / "images")
        yield made


@pytest.fixture
def make_other(
    tmp_path: Path, weights: np.ndarray, original: OnnxModel
) -> Callable[..., OnnxModel]:
    """Return a function that makes another file, which says that it was made of the original."""

    def make(shift: float = 0.0, **values: object) -> OnnxModel:
        given = {"fingerprint": original.fingerprint, **SAME, **values}
        across = np.random.default_rng(0).normal(size=weights.shape).astype(np.float32)
        path = write_export(tmp_path / "other.onnx", weights + shift * across, **given)
        return load_model(path)

    return make


def refused(gallery: Gallery, model: OnnxModel, **more: object) -> str:
    with pytest.raises(GalleryError) as error:
        gallery.accept_equivalent(model, **more)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    assert not gallery.info().equivalents
    return str(error.value)


def test_search_verify_and_enrol_with_an_accepted_model(
    gallery: Gallery, make_other: Callable, coloured: list[Path]
) -> None:
    other = make_other()
    assert other.fingerprint != gallery.fingerprint
    with pytest.raises(GalleryError, match=f"{other.fingerprint}.*accept-equivalent"):
        Recognizer(other, gallery).search(coloured[0])
    found = gallery.accept_equivalent(other)
    assert (found.fingerprint, found.of) == (other.fingerprint, gallery.fingerprint)
    assert found.images == 11
    assert 0 <= found.mean <= found.largest < 1e-10
    assert gallery.accepts(other.fingerprint)
    assert gallery.info().equivalents == {other.fingerprint: found}
    assert other.fingerprint in gallery.info().to_text()
    recognizer = Recognizer(other, gallery)
    assert recognizer.search(coloured[4])[0].candidates[0].person == "p1"
    assert recognizer.verify_person(coloured[4], "p1").scores[0] == pytest.approx(1)
    assert recognizer.enroll([coloured[0]], "new", duplicates="keep").images == 1
    assert gallery.check() == []


def test_it_stays_accepted(gallery: Gallery, place, make_other: Callable) -> None:
    other = make_other()
    found = gallery.accept_equivalent(other)
    with Gallery.open(place) as again:
        assert again.info().equivalents == {other.fingerprint: found}
        again.remove_equivalent(other.fingerprint)
    assert not gallery.accepts(other.fingerprint)
    with pytest.raises(GalleryError, match="no equivalent model"):
        gallery.remove_equivalent(other.fingerprint)


def test_operating_points_of_both_decide(gallery: Gallery, make_other: Callable) -> None:
    other = make_other()
    gallery.accept_equivalent(other)
    for name, fingerprint in (("own", gallery.fingerprint), ("theirs", other.fingerprint)):
        point = OperatingPoint(
            threshold=0.5,
            target_rate=0.1,
            achieved_rate=0.1,
            interval=Interval(low=0.05, high=0.2, method="by hand"),
            trials=TrialCounts(genuine=10, impostor=10),
            fingerprint=fingerprint,
        )
        gallery.add_operating_point(name, point)
    image = next(iter(gallery.images("p0"))).source
    for name in ("own", "theirs"):
        answer = Recognizer(other, gallery).verify_person(image, "p0", operating_point=name)
        assert answer.same[0] is True
    assert gallery.check() == []
    gallery.remove_equivalent(other.fingerprint)
    assert [found.problem for found in gallery.check()] == [
        f"'theirs' is for another model, {other.fingerprint}: remove it"
    ]


def test_a_measured_difference_is_refused_whatever_the_file_says(
    gallery: Gallery, make_other: Callable
) -> None:
    said = refused(gallery, make_other(shift=0.1))
    assert "cosine distance" in said
    assert "1e-05" in said
    assert "gallery migrate" in said


def test_the_limit(gallery: Gallery, make_other: Callable) -> None:
    shifts = [1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2]
    largest = []
    for shift in shifts:
        try:
            largest.append(gallery.accept_equivalent(make_other(shift=shift)).largest)
        except GalleryError:
            largest.append(np.inf)
    accepted = [one for one in largest if np.isfinite(one)]
    assert 0 < len(accepted) < len(shifts)
    assert max(accepted) <= 1e-5


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_other_precisions_are_other_spaces(
    gallery: Gallery, make_other: Callable, precision: str
) -> None:
    assert precision in refused(gallery, make_other(precision=precision))


def test_an_export_of_another_model_or_option(gallery: Gallery, make_other: Callable) -> None:
    said = refused(gallery, make_other(fingerprint="of another"))
    assert "of another" in said
    assert "--flip" in said


def test_a_file_whose_fingerprint_another_file_could_have(
    gallery: Gallery, tmp_path: Path, weights: np.ndarray
) -> None:
    from facever.models.onnx.adding import add_model

    source = write_network(tmp_path / "plain.onnx", weights)
    add_model(source, tmp_path / "added.onnx", mean=127.5, std=127.5)
    assert "facever export" in refused(gallery, load_model(tmp_path / "added.onnx"))


def test_another_network_cannot_have_an_accepted_fingerprint(
    gallery: Gallery, make_other: Callable, tmp_path: Path, weights: np.ndarray
) -> None:
    from facever.models.onnx.card import KEY
    from facever.models.onnx.file import parse_onnx, with_metadata

    other = make_other()
    gallery.accept_equivalent(other)
    card = parse_onnx(other.path, other.path.read_bytes()).metadata[KEY]
    forged = write_network(tmp_path / "forged.onnx", weights[::-1], **SAME)
    forged.write_bytes(with_metadata(forged.read_bytes(), {KEY: card}))
    with pytest.raises(ModelError, match="changed"):
        load_model(forged)
    body = parse_onnx(forged, forged.read_bytes()).body_sha256
    mended = card.replace(other.card.body_sha256, body)
    forged.write_bytes(with_metadata(forged.read_bytes(), {KEY: mended}))
    assert not gallery.accepts(load_model(forged).fingerprint)


def test_the_gallerys_own_model(gallery: Gallery, original: OnnxModel) -> None:
    assert "already" in refused(gallery, original)


def test_too_few_images(
    gallery: Gallery, make_other: Callable, coloured: list[Path], tmp_path: Path
) -> None:
    for path in coloured[:4]:
        path.write_bytes(coloured[5].read_bytes())  # other bytes than enrolled
    assert "only 7 images" in refused(gallery, make_other())
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    assert "--data ROOT" in refused(gallery, make_other())


def test_images_that_were_moved(
    gallery: Gallery, make_other: Callable, coloured: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    assert gallery.accept_equivalent(make_other(), root=tmp_path / "elsewhere").images == 11


def test_on_other_images_with_the_original(
    gallery: Gallery, make_other: Callable, original: OnnxModel, tmp_path: Path
) -> None:
    other, images = make_other(), tmp_path / "images"
    assert "give both" in refused(gallery, other, images=images)
    assert "fingerprint" in refused(gallery, other, images=images, original=other)
    apart = make_other(shift=0.1)
    assert "cosine distance" in refused(gallery, apart, images=images, original=original)
    found = gallery.accept_equivalent(make_other(), images=images, original=original)
    assert str(images) in found.measured_on


def test_rounded_vectors_need_the_original(
    gallery: Gallery, make_other: Callable, original: OnnxModel, tmp_path: Path
) -> None:
    gallery.set_storage("int8")
    assert "--original" in refused(gallery, make_other())
    gallery.accept_equivalent(make_other(), images=tmp_path / "images", original=original)


def test_weights_by_length(
    gallery: Gallery, make_other: Callable, tmp_path: Path, weights: np.ndarray
) -> None:
    gallery.set_templates("quality_mean")
    gallery.accept_equivalent(make_other())
    gallery.remove_equivalent(make_other().fingerprint)
    longer = write_export(tmp_path / "longer.onnx", 3 * weights, gallery.fingerprint, **SAME)
    assert "quality_mean" in refused(gallery, load_model(longer))


def test_a_migration_ends_it(
    gallery: Gallery,
    make_other: Callable,
    original: OnnxModel,
    tmp_path: Path,
    weights: np.ndarray,
) -> None:
    other = make_other()
    gallery.accept_equivalent(other)
    third = load_model(write_export(tmp_path / "third.onnx", weights[:, ::-1], "of a third"))
    assert Recognizer(third, gallery).migrate().finished
    assert not gallery.info().equivalents
    assert Recognizer(original, gallery).migrate().finished  # back again
    assert not gallery.accepts(other.fingerprint)


def test_images_without_a_hash_prove_nothing(
    original: OnnxModel, make_other: Callable, place, coloured: list[Path]
) -> None:
    faces = original.embed_images([str(path) for path in coloured])
    with Gallery.create(place, original) as gallery:
        gallery.enroll(faces, "ada", duplicates="keep")
        assert "enrolled bytes" in refused(gallery, make_other())


def test_a_damaged_record(gallery: Gallery, place, run_sql, make_other: Callable) -> None:
    gallery.accept_equivalent(make_other())
    gallery.close()
    run_sql("""UPDATE meta SET value = '[{"of": 3}]' WHERE key = 'equivalents'""")
    with pytest.raises(GalleryError, match="damaged"):
        Gallery.open(place)
