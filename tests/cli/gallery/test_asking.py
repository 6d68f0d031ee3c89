import json
from pathlib import Path


def test_search_for_images(facever, gallery: Path, model: Path, people: Path) -> None:
    probes = [people / "a" / "0.png", people / "c" / "4.png"]
    words = ("gallery", "search", gallery, *probes, "--model", model, "-k", 2)
    status, said, noted = facever(*words)
    assert (status, noted) == (0, "scores only: there is no 1:N operating point to decide by\n")
    assert f"'{probes[0]}'\n  score   person\n  ------  ------\n  1.0000  'a'\n" in said
    told = json.loads(facever(*words, "--json")[1])
    assert [answer["candidates"][0]["person"] for answer in told["answers"]] == ["a", "c"]
    assert [answer["probe"] for answer in told["answers"]] == [str(probe) for probe in probes]


def test_an_unreadable_probe_stops_no_other(
    facever, gallery: Path, model: Path, people: Path
) -> None:
    probes = [people / "c" / "6.png", people / "b" / "3.png"]
    words = ("gallery", "search", gallery, *probes, "--model", model, "-k", 1)
    status, said, _ = facever(*words)
    assert status == 0
    assert f"'{probes[0]}'\n  no vector: {probes[0]}: " in said
    assert f"'{probes[1]}'\n  score   person\n  ------  ------\n  1.0000  'b'\n" in said
    told = json.loads(facever(*words, "--json")[1])["answers"]
    assert str(probes[0]) in told[0]["error"]
    assert (told[0]["candidates"], told[1]["error"]) == ([], None)


def test_search_decides_by_a_one_to_many_point(
    facever, gallery: Path, model: Path, people: Path, save_point
) -> None:
    many = {"kind": "1:N", "score_rule": "max", "gallery_size": 3}
    words = ("gallery", "search", gallery, people / "a" / "0.png", "--model", model)
    for threshold, decided in ((0.9999, "'a'"), (1.5, "unknown")):
        file = save_point("many", threshold, **many)
        status, said, _ = facever(*words, "--operating-point", file)
        assert status == 0
        assert said.splitlines()[0].endswith(f"0.png': {decided}")
    file = save_point("one", 0.5)
    _, said, noted = facever(*words, "--operating-point", file)
    assert said.splitlines()[0].endswith("0.png'")
    assert "does not decide a search; at its FMR of 0.001 about 0.003 of strangers" in noted


def test_verify_exit_status(facever, gallery, model, people, save_point) -> None:
    words = ("gallery", "verify", gallery, "a", people / "a" / "1.png", "--model", model)
    status, said, noted = facever(*words)
    assert (status, said) == (2, "score:    1.0000 (best of 2 images)\n")
    assert noted == "scores only: there is no 1:1 operating point to decide by\n"
    for threshold, expected, decided in ((0.9999, 0, "'a'"), (1.5, 1, "not 'a'")):
        file = save_point("one", threshold)
        status, said, _ = facever(*words, "--operating-point", file)
        assert status == expected
        assert f"decision: {decided}\nby:       score > {threshold:.4f}, set for FMR" in said
    told = json.loads(facever(*words, "--operating-point", file, "--json")[1])
    assert (told["same"], told["person"]) == ([False], "a")
