import pytest

from facever.errors import GalleryError
from facever.gallery.probabilities import Chosen, for_search, for_verification


def test_the_only_one_that_fits_is_taken_unasked(make_calibration) -> None:
    many, other = make_calibration("1:N"), make_calibration("1:N", score_rule="mean")
    one = make_calibration()
    stored = {"many": many, "mean": other, "one": one}
    assert for_search(None, stored, 12, "max", "all") == Chosen(many)
    assert for_search(None, stored, 24, "mean", "all") == Chosen(other)
    assert for_verification(None, stored, 1, "max", "all") == Chosen(one)
    assert for_search("mean", stored, 12, "mean", "all") == Chosen(other)
    assert for_search(other, {}, 12, "mean", "all") == Chosen(other)


def test_none_is_said_to_be_missing_only_where_there_are_some(make_calibration) -> None:
    assert for_search(None, {"one": make_calibration()}, 12, "max", "all") == Chosen(None)
    both = {"a": make_calibration("1:N"), "b": make_calibration("1:N")}
    told = for_search(None, both, 12, "max", "all")
    assert told == Chosen(None, "no probabilities: name one of the calibrations a, b")


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (
            (25, "max", "all"),
            "the calibration was measured with 12 people, but the gallery has 25, more than 2 "
            "times "
            "as many: measure a new one",
        ),
        ((12, "mean", "all"), "the calibration is for score rule max, not for mean"),
        (
            (12, "max", "mean"),
            "the calibration was measured with templates 'all', but the gallery uses 'mean': "
            "measure one with the gallery's policy",
        ),
    ],
)
def test_one_that_does_not_fit_a_search(make_calibration, ask, reason: str) -> None:
    stored = {"many": make_calibration("1:N")}
    assert for_search(None, stored, *ask) == Chosen(None, f"no probabilities: {reason}")
    for given in ("many", stored["many"]):
        if "the gallery has" in reason:  # people were enrolled: no use of it is wrong
            told = for_search(given, stored, *ask)
            assert told == Chosen(None, f"no probabilities: {reason}")
            continue
        with pytest.raises(GalleryError) as refusal:
            for_search(given, stored, *ask)
        assert str(refusal.value) == reason


def test_kinds_keep_apart(make_calibration) -> None:
    many, one = make_calibration("1:N"), make_calibration()
    with pytest.raises(
        GalleryError, match=r"^a 1:1-image calibration does not apply to a search: give "
    ):
        for_search(one, {}, 12, "max", "all")
    with pytest.raises(
        GalleryError, match=r"^a 1:N calibration does not apply to a verification: give "
    ):
        for_verification(many, {}, 1, "max", "all")
    with pytest.raises(GalleryError, match="unknown calibration 'mnay'; did you mean 'many'"):
        for_search("mnay", {"many": many}, 12, "max", "all")
    template = make_calibration("1:1-template", templates="mean")
    assert for_verification(None, {"t": template}, 1, "max", "mean") == Chosen(template)
    told = for_verification(None, {"one": one}, 1, "max", "mean")
    assert told.calibration is None
    assert told.note.startswith("no probabilities: the calibration was measured with templates")


@pytest.mark.parametrize(("rule", "word"), [("max", "best"), ("mean", "mean")])
def test_one_for_two_images_serves_several_with_a_word(make_calibration, rule, word: str) -> None:
    one = make_calibration()
    told = for_verification(None, {"one": one}, 3, rule, "all")
    assert told == Chosen(one, f"the calibration is for one image, not for the {word} of 3")
    template = make_calibration("1:1-template")
    assert for_verification(None, {"t": template}, 3, rule, "all") == Chosen(template)


def test_with_a_filter_those_searched_count(make_calibration) -> None:
    stored = {"many": make_calibration("1:N")}
    told = for_search(None, stored, 30, "max", "all", filtered=True)
    assert "with 12 people, but 30 are searched" in told.note
