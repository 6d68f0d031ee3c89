"""Former names: each still answers, with a warning that names the new one."""

import importlib

import numpy as np
import pytest

import facever.evaluation as former
from facever import evaluate

NAMES = (
    "Against", "Cohort", "Expansion", "OperatingPoint", "Reranking", "ScoreCalibration",
    "Templates", "VerificationResult", "calibrate", "compare", "compare_retrieval",
    "identification", "pool_templates", "retrieval", "template_set", "transfer", "verification",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_former_name_warns_and_names_the_new_one(name):
    with pytest.warns(DeprecationWarning, match=rf"facever\.evaluation\.{name} is now ") as said:
        found = getattr(former, name)
    assert found.__name__ == name
    assert said[0].filename == __file__
    new = str(said[0].message).split(" is now ")[1].split(";")[0]
    if not new.startswith("a mapping"):
        place, attribute = new.rsplit(".", 1)
        assert getattr(importlib.import_module(place), attribute).__name__ == name


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'measure_all'"):
        _ = former.measure_all


def test_former_calls_have_the_results_of_the_new_ones(make_faces):
    vectors, names = make_faces(120, people=12)
    camera, norms = np.arange(120) % 3, np.linspace(1, 3, 120).astype(np.float32)
    held = np.arange(120) > 2
    table = {"vectors": vectors, "identity": names, "camera": camera}
    failed = table | {"norm": norms, "acquired": held}
    halves = [{name: values[part] for name, values in failed.items()} for part in
              (slice(60), slice(60, None))]  # fmt: skip
    by_camera = {"camera": camera}
    options = {"similarity": "dot", "far": [0.1, 0.01]}
    found = former.verification(
        vectors, names, norms=norms, acquired=held, exclude=by_camera, groups=by_camera, **options
    )
    again = evaluate.verification(failed, exclude=["camera"], groups=["camera"], **options)
    assert found.to_dict() == again.to_dict()
    sides = [
        [vectors[part], names[part], norms[part], held[part], {"camera": camera[part]}]
        for part in (slice(60), slice(60, None))
    ]
    one, two = sides
    found = former.verification(
        *one[:2], norms=one[2], acquired=one[3], exclude=one[4],
        against=former.Against(*two), **options
    )  # fmt: skip
    again = evaluate.verification(halves[0], against=halves[1], exclude=["camera"], **options)
    assert found.to_dict() == again.to_dict()
    inside = two[1] < "p008"
    enrolled = {name: values[inside] for name, values in halves[1].items()}
    found = former.identification(
        *one[:2], two[0][inside], two[1][inside], templates="mean",
        probe_acquired=one[3], gallery_acquired=two[3][inside], fpir=[0.2],
    )  # fmt: skip
    again = evaluate.identification(halves[0], enrolled, fpir=[0.2])
    assert found.to_dict() == {**again.to_dict(), "templates": "mean"}
    found = former.retrieval(
        *one[:2], *two[:2], query_cameras=camera[:60], gallery_cameras=camera[60:]
    )
    plain = [{k: v for k, v in half.items() if k in table} for half in halves]
    again = evaluate.retrieval(plain[0], against=plain[1], camera="camera")
    assert found.to_dict() == again.to_dict()
    other = vectors[:, ::-1]
    found = former.compare(vectors, other, names, far=[0.1], acquired=held, exclude=by_camera)
    sides = [table | {"vectors": side, "acquired": held} for side in (vectors, other)]
    assert found.to_dict() == evaluate.compare(*sides, far=[0.1], exclude=["camera"]).to_dict()
    found = former.calibrate(vectors, names, similarity="dot", norms=norms)
    own = {"vectors": vectors, "identity": names, "norm": norms}
    assert found.to_dict() == evaluate.calibrate(own, similarity="dot").to_dict()
    point = evaluate.verification(vectors, names, far=[0.1], fingerprint="f").operating_point(0.1)
    found = former.transfer(vectors, names, [point], acquired=held, exclude=by_camera)
    again = evaluate.transfer(point, table | {"acquired": held}, exclude=["camera"],
                              fingerprint="f")  # fmt: skip
    assert found.to_dict() == again.to_dict()
