from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facever.data.decode import ImageError, decode
from facever.errors import DataError, GalleryError
from facever.models.extractor import Extractor
from facever.models.loading import load_model
from facever.recognizer import Recognizer


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_a_pair_is_scored_as_the_operating_point_says(
    save_model, make_point, people: Path, tmp_path: Path, metric: str
) -> None:
    model = load_model(save_model(tmp_path / "m.safetensors", 5, metric))
    recognizer = Recognizer(model)
    a, b = people / "a" / "0.png", people / "b" / "0.png"
    raw = [model.features(path)[0].astype(float) for path in (a, b)]
    expected = {
        "cosine": raw[0] @ raw[1] / np.linalg.norm(raw[0]) / np.linalg.norm(raw[1]),
        "dot": raw[0] @ raw[1],
        "euclidean": -np.sum((raw[0] - raw[1]) ** 2),
    }
    undecided = recognizer.verify(a, b)
    assert undecided.score == pytest.approx(expected[metric], rel=1e-4)
    assert (undecided.same, undecided.similarity) == (None, metric)
    for similarity, score in expected.items():
        near = 2e-4 * abs(score)
        for threshold, same in ((score - near, True), (score + near, False)):
            given = make_point(model, similarity=similarity, threshold=threshold)
            decided = recognizer.verify(a, b, given)
            assert decided.score == pytest.approx(score, rel=1e-5)
            assert decided.same is same


def test_a_pair_is_not_decided_by_what_does_not_fit(
    make_point, model: Extractor, people: Path
) -> None:
    recognizer, broken = Recognizer(model), people / "a" / "broken.jpg"
    pair = people / "a" / "0.png", people / "a" / "1.png"
    with pytest.raises(GalleryError) as refusal:
        recognizer.verify(*pair, make_point(model, fingerprint="other"))
    assert "other" in str(refusal.value)
    assert model.fingerprint in str(refusal.value)
    for kind in ({"kind": "1:1-template"}, {"kind": "1:N", "score_rule": "max", "gallery_size": 3}):
        with pytest.raises(GalleryError, match="does not decide between two images"):
            recognizer.verify(*pair, make_point(model, **kind))
    for unreadable in ((pair[0], broken), (broken, pair[0]), (broken, people / "no.png")):
        with pytest.raises(ImageError, match=r"broken\.jpg: not an image of a known format"):
            recognizer.verify(*unreadable, make_point(model))


def test_the_operating_point_of_a_run_decides(
    make_point, models: list[Path], people: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").write_bytes(models[0].read_bytes())
    pair = people / "a" / "0.png", people / "a" / "0.png"
    recognizer = Recognizer.load(tmp_path)
    assert recognizer.model.operating_point is None
    assert recognizer.verify(*pair).note == "score only: there is no operating point"
    given = make_point(recognizer.model, threshold=0.5)
    given.save(tmp_path / "operating_point.json")
    run = load_model(tmp_path)
    assert run.operating_point == given
    decided = Recognizer(run).verify(*pair)
    assert (decided.same, decided.operating_point, decided.note) == (True, given, "")
    assert decided.to_dict()["operating_point"]["threshold"] == 0.5
    # the file alone is not its run; other options are another model
    assert load_model(tmp_path / "model.safetensors").operating_point is None
    with pytest.raises(GalleryError, match=given.fingerprint):
        Recognizer.load(tmp_path, flip=True).verify(*pair)


def test_a_pair_may_be_given_in_any_way(model: Extractor, people: Path) -> None:
    a, b = people / "a" / "0.png", people / "b" / "0.png"
    recognizer = Recognizer(model)
    expected = recognizer.verify(a, b).score
    for given in (str(b), b.read_bytes(), Image.open(b), decode(b)):
        assert recognizer.verify(a, given).score == expected
    with pytest.raises(DataError, match="must be a path, bytes, a Pillow image or an array"):
        recognizer.verify(a, None)  # type: ignore[arg-type]


def test_the_former_name_works_for_one_version(model: Extractor, people: Path) -> None:
    from facever import workflows

    a, b = people / "a" / "0.png", people / "b" / "0.png"
    with pytest.warns(DeprecationWarning, match=r"use Recognizer\(model\)\.verify"):
        assert workflows.verify_pair(model, a, b) == Recognizer(model).verify(a, b)
