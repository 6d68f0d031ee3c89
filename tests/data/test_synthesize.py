from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from facever.data.decode import decode
from facever.data.manifest import Manifest
from facever.data.pairs import read_pairs
from facever.data.synthesize import face, synthesize
from facever.data.synthetic.drawing import draw
from facever.data.synthetic.identity import BEARDS, HAIR_STYLES, Identity
from facever.data.synthetic.shot import GLASSES, OCCLUSIONS, Shot
from facever.errors import ConfigError

PEOPLE, SHOTS = 40, 6


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """uint8 [people, shots, 32, 32, 3]."""
    return np.array([[face(i, s, size=32) for s in range(SHOTS)] for i in range(PEOPLE)])


@pytest.mark.parametrize("size", [8, 31, 64, 200])
def test_faces_have_the_size_asked_for(size):
    image = face(3, 2, size=size)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8


def test_a_face_depends_on_its_four_numbers_alone():
    image = face(5, 7, size=24, seed=2)
    face(1, 1)
    np.testing.assert_array_equal(face(5, 7, size=24, seed=2), image)
    for other in [(6, 7, 24, 2), (5, 8, 24, 2), (5, 7, 24, 3)]:
        assert (face(*other) != image).any()


def test_a_larger_image_shows_the_same_face():
    for number in range(10):
        small = face(number, 1, size=32).astype(float)
        large = cv2.resize(face(number, 1, size=64), (32, 32), interpolation=cv2.INTER_AREA)
        other = face(number + 1, 1, size=32).astype(float)
        assert np.abs(small - large).mean() < 0.3 * np.abs(small - other).mean()


def test_all_images_differ(images):
    flat = images.reshape(PEOPLE * SHOTS, -1)
    assert len({row.tobytes() for row in flat}) == len(flat)
    assert images.std(axis=(2, 3)).min() > 2, "an image of one colour"


def test_raw_pixels_tell_people_apart_badly_but_not_by_chance(images):
    pixels = images.reshape(PEOPLE * SHOTS, -1).astype(float)
    pixels /= np.linalg.norm(pixels, axis=1, keepdims=True)
    people = np.repeat(np.arange(PEOPLE), SHOTS)
    a, b = np.triu_indices(len(people), 1)
    auc = roc_auc_score(people[a] == people[b], (pixels @ pixels.T)[a, b])
    assert 0.55 < auc < 0.75


def test_the_images_of_a_person_vary_most_of_what_people_do(images):
    values = images.reshape(PEOPLE, SHOTS, -1).astype(float)
    within = values.var(axis=1, ddof=1).mean()
    total = values.reshape(PEOPLE * SHOTS, -1).var(axis=0, ddof=1).mean()
    assert 0.6 < within / total < 0.97


def test_every_kind_of_person_and_of_shot_occurs():
    people = [Identity.draw(0, number) for number in range(400)]
    assert {person.hair_style for person in people} == set(HAIR_STYLES)
    assert {person.beard for person in people} == set(BEARDS)
    shots = [Shot.draw(0, 0, number, people[0]) for number in range(400)]
    assert {shot.occlusion for shot in shots} == set(OCCLUSIONS)
    assert {shot.glasses for shot in shots} == {None, *GLASSES}
    share = np.mean([shot.glasses is not None for shot in shots])
    assert share == pytest.approx(people[0].glasses, abs=0.12)
    assert any(shot.hat for shot in shots)


def test_the_parts_that_a_shot_puts_on_are_drawn():
    """Whatever is special in a shot changes its image, over the same person and circumstances."""
    person = Identity.draw(0, 0)
    plain = replace(Shot.draw(0, 0, 0, person), occlusion="none", glasses=None, hat=None)
    base = draw(person, plain, 32)
    changes = (
        [{"occlusion": kind} for kind in OCCLUSIONS if kind != "none"]
        + [{"glasses": kind} for kind in GLASSES]
        + [{"hat": (200.0, 0.0, 0.0)}, {"yaw": plain.yaw + 0.4}, {"pitch": plain.pitch - 0.3}]
        + [{"mouth_open": 0.9}, {"eyes_open": 0.2}, {"smile": plain.smile - 1}]
    )
    for change in changes:
        assert (draw(person, replace(plain, **change), 32) != base).mean() > 0.004, change


def test_turning_to_the_right_moves_the_nose_to_the_right():
    moved = []
    for number in range(12):
        person = replace(Identity.draw(0, number), hair_style="bald", beard="none", moles=())
        plain = replace(
            Shot.draw(0, number, 0, person),
            occlusion="none", glasses=None, hat=None, pitch=0.0, roll=0.0, shift_x=0.0,
        )  # fmt: skip
        eyes = replace(person, iris=(255.0, 0.0, 255.0), iris_size=0.6)

        def place(yaw: float, person=eyes, shot=plain) -> float:
            image = draw(person, replace(shot, yaw=yaw), 64).astype(int)
            purple = np.minimum(image[..., 0], image[..., 2]) - image[..., 1] > 120
            return float(np.flatnonzero(purple.any(axis=0)).mean()) if purple.any() else np.nan

        moved.append((place(0.4) - place(-0.4)) / 128)
    assert np.nanmedian(moved) > 0.1


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Manifest:
    out = tmp_path_factory.mktemp("synthetic") / "people"
    return synthesize(out, 5, 3, size=24, seed=4, format="png", pairs=6)


def test_files_are_the_faces_and_the_manifest_says_whose(written):
    assert len(written) == 15
    assert len(written.identities) == 5
    assert written.dataset == "synthetic4"
    for row in written.frame.itertuples():
        number = int(row.identity.removeprefix("person"))
        np.testing.assert_array_equal(
            decode(written.locate(row.Index)), face(number, int(row.shot), size=24, seed=4)
        )
    again = Manifest.from_csv(written.root / "manifest.csv")
    assert again.frame.equals(written.frame)


def test_pairs_are_half_genuine_and_each_once(written):
    pairs = read_pairs(written.root / "pairs.csv")
    identity = dict(zip(written.frame["path"], written.frame["identity"], strict=True))
    assert pairs.same.tolist() == [True] * 6 + [False] * 6
    rows = list(zip(pairs.frame["a"], pairs.frame["b"], pairs.same, strict=True))
    assert len({frozenset(row[:2]) for row in rows}) == 12
    assert all((identity[a] == identity[b]) == same and a != b for a, b, same in rows)


def test_another_population_has_other_pairs(written, tmp_path):
    other = synthesize(tmp_path / "other", 5, 3, size=8, seed=5, format="png", pairs=6)
    first, second = (read_pairs(one.root / "pairs.csv").frame for one in (written, other))
    assert (first["a"] != second["a"]).any()


def test_workers_write_the_same_files(written, tmp_path):
    synthesize(tmp_path / "two", 5, 3, size=24, seed=4, format="png", workers=2, pairs=6)
    for path in [*written.frame["path"], "manifest.csv", "pairs.csv"]:
        assert (tmp_path / "two" / path).read_bytes() == (written.root / path).read_bytes()


def test_jpeg_is_close_to_the_face(tmp_path):
    made = synthesize(tmp_path / "jpeg", 2, 2, size=48)
    for index, (number, shot) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        difference = decode(made.locate(index)).astype(int) - face(number, shot, size=48)
        assert np.abs(difference).mean() < 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"identities": 0}, "0 identities x 3 images by 1 processes"),
        ({"images_per_identity": 0}, "5 identities x 0 images"),
        ({"workers": 0}, "5 identities x 3 images by 0 processes"),
        ({"size": 7}, "size is 7 (allowed: 8 to 4096 pixels)"),
        ({"seed": -1}, "seed is -1 (allowed: at least 0)"),
        ({"format": "gif"}, "unknown image format 'gif' (allowed: jpg, png)"),
        ({"pairs": 16}, "16 pairs of each kind: the images make 15 genuine and 90 impostor"),
    ],
)
def test_refuses_with_one_line(tmp_path, options, message):
    with pytest.raises(ConfigError) as caught:
        synthesize(tmp_path / "new", **{"identities": 5, "images_per_identity": 3, **options})
    assert message in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_never_writes_over_anything(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="already exists: give a new or an empty folder"):
        synthesize(tmp_path, 2, 2, size=16)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_face_refuses_negative_numbers():
    with pytest.raises(ConfigError, match="identity is -1 "):
        face(-1, 0)


def test_the_sample_in_the_project_is_what_its_command_makes():
    sample = Path(__file__).parents[2] / "data" / "sample"
    readme = (sample.parent / "README.md").read_text(encoding="utf-8")
    assert "data/sample --identities 20 --images 8 --seed 1 --pairs 100" in readme
    assert sum(file.stat().st_size for file in sample.rglob("*.*")) < 1_000_000
    manifest = Manifest.from_csv(sample / "manifest.csv")
    assert (len(manifest), len(manifest.identities)) == (160, 20)
    assert len(read_pairs(sample / "pairs.csv")) == 200
    for index in range(0, 160, 23):
        difference = decode(manifest.locate(index)).astype(int) - face(
            index // 8, index % 8, seed=1
        )
        assert np.abs(difference).mean() < 8
