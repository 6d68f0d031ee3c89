import json


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
