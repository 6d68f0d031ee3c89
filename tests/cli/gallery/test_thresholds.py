import json
from pathlib import Path


def test_threshold_keeps_operating_points(facever, gallery, model, people, save_point) -> None:
    assert facever("gallery", "threshold", gallery)[1].startswith("no operating points")
    file = save_point("strict", 0.9999)
    status, said, _ = facever("gallery", "threshold", gallery, file)
    assert (status, said) == (
        0,
        "'strict': 1:1-image, score > 0.9999, set for FMR 0.001 on toy (1,000 impostor trials)\n",
    )
    words = ("gallery", "verify", gallery, "a", people / "a" / "1.png", "--model", model)
    assert facever(*words)[0] == 0  # the only one decides unasked
    assert facever(*words, "--operating-point", "strict")[0] == 0
    assert facever(*words, "--operating-point", "stirct")[0] == 2
    assert list(json.loads(facever("gallery", "threshold", gallery, "--json")[1])) == ["strict"]
    assert facever("gallery", "threshold", gallery, file, "--name", "other")[0] == 0
    _, said, _ = facever("gallery", "threshold", gallery, "--remove", "strict")
    assert said.startswith("'other': 1:1-image")
    assert said.count("\n") == 1


def test_calibrations_are_kept(facever, gallery: Path, save_calibration) -> None:
    words = ("gallery", "calibration", gallery)
    assert facever(*words)[1].startswith("no calibrations")
    status, said, _ = facever(*words, save_calibration("odds"))
    assert (status, said) == (
        0,
        "'odds': 1:1-image, logistic, for a prior of 0.5, fitted on toy "
        "(10 genuine, 1,000 impostor trials)\n",
    )
    assert json.loads(facever(*words, "--json")[1])["odds"]["llrs"] == [0, 5]
    assert facever(*words, "--remove", "odds")[1].startswith("no calibrations")
