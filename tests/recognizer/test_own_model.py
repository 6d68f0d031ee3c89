"""A model of one's own: a plain class, without torch, that says what it must."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facever.errors import DataError, ModelError
from facever.evaluation.one_to_one.verification import verification
from facever.gallery.gallery import Gallery
from facever.models.extractor import Extractor
from facever.models.images import embed_images
from facever.operating_point import OperatingPoint
from facever.recognizer import Recognizer


class MeanColours:
    """The mean colour of each quarter of an image, less grey."""

    fingerprint, dimension = "mean colours of quarters", 12
    options = {"quarters": True}  # noqa: RUF012

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        halves = [np.array_split(image, 2) for image in images]
        quarters = [
            [part for half in two for part in np.array_split(half, 2, axis=1)] for two in halves
        ]
        means = [[part.mean(axis=(0, 1)) for part in four] for four in quarters]
        return np.array(means).reshape(len(images), -1) - 127.5


def by_hand(path: Path) -> NDArray[np.float64]:
    import cv2

    pixels = cv2.imread(str(path))[:, :, ::-1].astype(float)
    rows = [pixels[y : y + 16, x : x + 16].mean((0, 1)) for y in (0, 16) for x in (0, 16)]
    return np.concatenate(rows) - 127.5


def test_it_enrolls_searches_verifies_and_is_measured(
    make_point, people: Path, tmp_path: Path
) -> None:
    model = MeanColours()
    faces = embed_images(model, people)
    assert (faces.failures, len(faces)) == (1, 13)
    assert faces.meta.fingerprint == model.fingerprint
    assert (faces.meta.metric, faces.meta.options, faces.trained_on) == (
        "cosine",
        {"quarters": True},
        None,
    )
    for row, path in enumerate(faces.rows["path"]):
        if faces.acquired[row]:
            wanted = by_hand(people / path)
            assert faces.rows["norm"][row] == pytest.approx(np.linalg.norm(wanted), rel=1e-6)
            np.testing.assert_allclose(
                faces.vectors[row], wanted / np.linalg.norm(wanted), atol=1e-6
            )
    measured = verification(faces.vectors[faces.acquired], faces.identities[faces.acquired])
    assert measured.auc.value > 0.9

    with Gallery.create(tmp_path / "gallery", model) as gallery:
        info = gallery.info()
        assert (info.fingerprint, info.dimension) == (model.fingerprint, 12)
        assert info.options == {"quarters": True}
        recognizer = Recognizer(model, gallery)
        assert recognizer.enroll(people).images == 12
        a, b = people / "a" / "1.png", people / "b" / "1.png"
        assert [one.person for one in gallery.people()] == list("abcd")
        assert [r.candidates[0].person for r in recognizer.search([a, b])] == ["a", "b"]
        one, two = by_hand(a), by_hand(b)
        cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
        point: OperatingPoint = make_point(model, threshold=(1 + cosine) / 2)
        assert recognizer.verify_person([a, b], "a", operating_point=point).same == [True, False]
        pair = recognizer.verify(a, b, point)
        assert (pair.score, pair.same) == (pytest.approx(cosine, abs=1e-6), False)


def test_a_gallery_moves_to_it_and_from_it(
    gallery: Gallery, model: Extractor, people: Path, tmp_path: Path
) -> None:
    own = MeanColours()
    Recognizer(model, gallery).enroll(people)
    assert Recognizer(own, gallery).migrate().finished
    assert gallery.info().options == {"quarters": True}
    probe = people / "d" / "1.png"
    assert Recognizer(own, gallery).search(probe)[0].candidates[0].person == "d"
    assert Recognizer(model, gallery).migrate().finished
    assert gallery.info().options == {"flip": False, "precision": "fp32"}


class Model:
    """What a model can be, or not."""

    def __init__(self, **said: object) -> None:
        self.__dict__.update({"fingerprint": "m", "dimension": 2, "embed": lambda images: None})
        self.__dict__.update(said)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"fingerprint": ""}, "Model.fingerprint must be a string"),
        ({"fingerprint": 7}, "Model.fingerprint must be a string"),
        ({"dimension": 2.0}, "Model.dimension must be a whole number"),
        ({"dimension": 0}, "Model.dimension must be a whole number"),
        ({"options": ["flip"]}, "Model.options must be a mapping"),
        ({"preprocessing": {"size": {1}}}, "Model.preprocessing must be a mapping"),
    ],
)
def test_what_is_said_must_be_right(said: dict[str, object], message: str, tmp_path: Path) -> None:
    for use in (Recognizer, lambda model: Gallery.create(tmp_path / "g", model)):
        with pytest.raises(ModelError, match=message):
            use(Model(**said))
    assert not (tmp_path / "g").exists()


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="object is not a model: it has no fingerprint, dimension"):
        Recognizer(object())  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"'RUN' is a path, not a model: give facever.load_model"):
        Gallery.create(tmp_path / "g", "RUN")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (np.ones((2, 3)), ModelError, r"returned shape \[2, 3\] for 2 images, not \[2, 2\]"),
        (np.ones(2), ModelError, r"returned shape \[2\] for 2 images"),
        (np.array([[1, 0], [0, 0]]), DataError, r"row 1 \(.*1\.png\) is zero or not finite"),
        (np.array([[1, 0], [0, np.nan]]), DataError, r"row 1 \(.*1\.png\) is zero or not finite"),
    ],
)
def test_what_it_embeds_must_be_vectors(
    rows: NDArray[np.float64], error: type[Exception], message: str, people: Path, tmp_path: Path
) -> None:
    model = Model(embed=lambda images: rows)
    with Gallery.create(tmp_path / "g", model) as gallery, pytest.raises(error, match=message):
        Recognizer(model, gallery).search([people / "a" / f"{shot}.png" for shot in (0, 1)])
    with pytest.raises(ModelError, match="loads images in one process: omit workers"):
        embed_images(model, people, workers=2)
