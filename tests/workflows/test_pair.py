from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facever.data.decode import decode
from facever.embedding.extractor import Extractor, load_model
from facever.errors import DataError, FaceverError, GalleryError
from facever.workflows.pair import run_operating_point, verify_pair


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_a_pair_is_scored_as_the_operating_point_says(
    save_model, make_point, people: Path, tmp_path: Path, metric: str
) -> None:
    model = load_model(save_model(tmp_path / "m.safetensors", 5, metric))
    a, b = people / "a" / "0.png", people / "b" / "0.png"
    raw = [model._embed([path])[0].astype(float) for path in (a, b)]
    expected = {
        "cosine": raw[0] @ raw[1] / np.linalg.norm(raw[0]) / np.linalg.norm(raw[1]),
        "dot": raw[0] @ raw[1],
        "euclidean": -np.sum((raw[0] - raw[1]) ** 2),
    }
    undecided = verify_pair(model, a, b)
    assert undecided.score == pytest.approx(expected[metric], rel=1e-4)
    assert (undecided.same, undecided.similarity) == (None, metric)
    for similarity, score in expected.items():
        near = 2e-4 * abs(score)
        for threshold, same in ((score - near, True), (score + near, False)):
            given = make_point(model, similarity=similarity, threshold=threshold)
            decided = verify_pair(model, a, b, given)
            assert decided.score == pytest.approx(score, rel=1e-5)
            assert decided.same is same


def test_a_pair_is_not_decided_by_what_does_not_fit(
    make_point, model: Extractor, people: Path
) -> None:
    pair = people / "a" / "0.png", people / "a" / "1.png"
    with pytest.raises(GalleryError) as refusal:
        verify_pair(model, *pair, make_point(model, fingerprint="other"))
    assert "other" in str(refusal.value)
    assert model.fingerprint in str(refusal.value)
    for kind in ({"kind": "1:1-template"}, {"kind": "1:N", "score_rule": "max", "gallery_size": 3}):
        with pytest.raises(GalleryError, match="does not decide between two images"):
            verify_pair(model, *pair, make_point(model, **kind))
    with pytest.raises(FaceverError, match=r"broken\.jpg"):
        verify_pair(model, pair[0], people / "a" / "broken.jpg", make_point(model))


def test_the_operating_point_of_a_run(make_point, model: Extractor, tmp_path: Path) -> None:
    assert run_operating_point(tmp_path) is None
    given = make_point(model)
    given.save(tmp_path / "operating_point.json")
    assert run_operating_point(tmp_path) == given


def test_a_pair_may_be_given_in_any_way(make_point, model: Extractor, people: Path) -> None:
    a, b = people / "a" / "0.png", people / "b" / "0.png"
    expected = verify_pair(model, a, b).score
    for given in (str(b), b.read_bytes(), Image.open(b), decode(b)):
        assert verify_pair(model, a, given).score == expected
    with pytest.raises(DataError, match="must be a path, bytes, a Pillow image or an array"):
        verify_pair(model, a, None)  # type: ignore[arg-type]
