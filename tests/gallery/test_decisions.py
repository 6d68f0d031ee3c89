import math

import pytest

from facever.errors import ConfigError, GalleryError
from facever.gallery.decisions import (
    Decision,
    chosen,
    for_search,
    for_verification,
    read_stored,
    require_cosine,
)
from facever.operating_point import OperatingPoint, require_fit

ONE_TO_MANY, ONE_TO_ONE = ("1:N",), ("1:1-image", "1:1-template")


def test_the_only_fitting_point_is_taken_unasked(make_point) -> None:
    many, one = make_point("1:N"), make_point()
    stored = {"many": many, "one": one}
    assert chosen(None, stored, ONE_TO_MANY).point is many
    assert chosen(None, stored, ONE_TO_ONE).point is one
    assert chosen("many", stored, ONE_TO_ONE).point is many
    assert chosen(one, {}, ONE_TO_MANY).point is one


def test_without_one_or_with_several_nothing_decides(make_point) -> None:
    none = chosen(None, {"one": make_point()}, ONE_TO_MANY)
    assert none == Decision(None, "scores only: the gallery has no 1:N operating point")
    both = {"strict": make_point(), "loose": make_point()}
    assert (
        "name one of the 1:1 operating points (strict, loose)"
        in chosen(None, both, ONE_TO_ONE).note
    )
    with pytest.raises(GalleryError, match="unknown operating point 'strikt'; did you mean"):
        chosen("strikt", both, ONE_TO_ONE)


def test_a_point_of_another_model_is_refused_with_both_shown(make_point) -> None:
    require_fit(make_point(), "model-1", "the gallery")
    for other, shown in (
        (make_point(fingerprint="model-2"), "model-2"),
        (make_point(fingerprint=None), "has no fingerprint"),
        (make_point(fingerprint="undeclared"), "has no fingerprint"),
    ):
        with pytest.raises(GalleryError) as refusal:
            require_fit(other, "model-1", "the gallery")
        assert shown in str(refusal.value)
        assert "model-1" in str(refusal.value)


def test_a_point_whose_fields_disagree_is_refused(make_point) -> None:
    lenient = make_point().model_copy(update={"threshold": -2.0})
    with pytest.raises(ConfigError, match="threshold -2"):
        require_fit(lenient, "model-1", "the gallery")


def test_a_point_for_other_scores_is_refused(make_point) -> None:
    require_cosine(make_point())
    with pytest.raises(GalleryError, match="for euclidean scores"):
        require_cosine(make_point(similarity="euclidean", threshold=-0.5))


@pytest.mark.parametrize("named", [False, True])
def test_a_point_that_the_gallery_has_outgrown_decides_nothing_and_silences_nothing(
    make_point, named: bool
) -> None:
    choice = Decision(make_point("1:N"))
    assert for_search(choice, 24, None, named=named) is choice
    assert for_search(choice, 3, "max", named=named) is choice
    grown = for_search(choice, 25, None, named=named)
    assert grown.point is None
    assert "measured with 12 people, but the gallery has 25" in grown.note


def test_a_point_for_other_scores_is_wrong_use_where_it_is_named(make_point) -> None:
    choice = Decision(make_point("1:N"))
    for people in (12, 25):
        with pytest.raises(GalleryError, match="for score rule max, not for mean"):
            for_search(choice, people, "mean", named=True)
        unasked = for_search(choice, people, "mean")
        assert unasked.point is None
        assert "for score rule max, not for mean" in unasked.note


def test_what_is_stored_and_contradicts_itself_decides_nothing(make_point) -> None:
    """As earlier versions stored it."""
    said = {
        "below": make_point("1:N").model_copy(update={"threshold": -2.0}).model_dump_json(),
        "deep": "[" * 100_000,
        "list": "[]",
        "blob": b"\xff",
    }
    usable, unusable = read_stored(OperatingPoint, {**said, "one": make_point().model_dump_json()})
    assert usable == {"one": make_point(created=usable["one"].created)}
    assert {name: one.kind for name, one in unusable.items()} == {
        **{"below": "1:N", "deep": "", "list": "", "blob": ""}
    }
    for name, one in unusable.items():
        assert f"operating point '{name}'" in one.reason
    without = chosen(None, usable, ONE_TO_MANY, unusable)
    assert without.point is None
    assert "'below'" in without.note
    assert "threshold -2" in without.note
    assert chosen(None, usable, ONE_TO_ONE, unusable).point == usable["one"]
    both = chosen(None, {**usable, "many": make_point("1:N")}, ONE_TO_MANY, unusable)
    assert both.point is None  # which one is meant is for a person to say
    assert "(many, below)" in both.note
    with pytest.raises(GalleryError, match="threshold -2"):
        chosen("below", usable, ONE_TO_MANY, unusable)


@pytest.mark.parametrize(("fmr", "people"), [(1e-4, 10_000), (1e-3, 12), (1e-9, 5), (1.0, 3)])
def test_a_one_to_one_point_decides_no_search_and_its_fpir_is_told(
    make_point, fmr: float, people: int
) -> None:
    decision = for_search(Decision(make_point(target_rate=fmr)), people, None)
    assert decision.point is None
    assert decision.implied_rate is not None
    if fmr == 1e-9:  # too small for the plain formula
        assert math.isclose(decision.implied_rate, people * fmr, rel_tol=1e-6)
    else:
        assert math.isclose(decision.implied_rate, 1 - (1 - fmr) ** people, rel_tol=1e-9)
    assert f"the FPIR among {people} people would be" in decision.note


def test_the_example_of_the_design(make_point) -> None:
    decision = for_search(Decision(make_point(target_rate=1e-4)), 10_000, None)
    assert "would be about 0.63" in decision.note


def test_verification_takes_only_one_to_one(make_point) -> None:
    with pytest.raises(
        GalleryError, match="a 1:N operating point does not apply to a verification"
    ):
        for_verification(Decision(make_point("1:N")), 1, "max", named=True)
    assert for_verification(Decision(make_point("1:N")), 1, "max").point is None
    single = Decision(make_point())
    assert for_verification(single, 1, "max") is single
    assert for_verification(single, 9, "mean") is single
    several = for_verification(single, 5, "max")
    assert several.point is single.point
    assert "about 0.005 for this person" in several.note
    template = Decision(make_point("1:1-template"))
    assert for_verification(template, 5, "max") is template


def test_with_a_filter_those_searched_count(make_point) -> None:
    choice = Decision(make_point("1:N"))
    assert for_search(choice, 12, None, filtered=True) is choice
    fewer = for_search(choice, 5, None, filtered=True)
    assert fewer.point is choice.point
    assert fewer.note == (
        "5 people are searched, fewer than the 12 of the operating point's measurement: the "
        "FPIR is lower than stated"
    )
    assert for_search(choice, 5, None) is choice
    more = for_search(choice, 25, None, filtered=True)
    assert more.point is None
    assert "measured with 12 people, but 25 are searched, more than 2 times as many" in more.note


@pytest.mark.parametrize("kind", ["1:N", "1:1-template"])
def test_a_point_of_other_templates_is_refused(make_point, kind: str) -> None:
    by_mean = Decision(make_point(kind, templates="mean"))

    def ask(choice: Decision, templates: str, named: bool = False) -> Decision:
        if kind == "1:N":
            return for_search(choice, 12, None, templates, named=named)
        return for_verification(choice, 1, "max", templates, named=named)

    assert ask(by_mean, "mean") is by_mean
    for point, templates in ((by_mean, "all"), (Decision(make_point(kind)), "medoids:2")):
        with pytest.raises(GalleryError) as refusal:
            ask(point, templates, named=True)
        unasked = ask(point, templates)
        assert (unasked.point, unasked.note) == (None, f"scores only: {refusal.value}")
        assert str(refusal.value) == (
            f"the operating point was measured with templates '{point.point.templates}', but the "
            f"gallery uses '{templates}': measure one with the gallery's policy"
        )


def test_a_point_for_two_images_serves_several_images_but_no_mean(make_point) -> None:
    choice = Decision(make_point())
    assert "the best of 3 images" in for_verification(choice, 3, "max", "medoids:3").note
    for templates in ("mean", "quality_mean"):
        with pytest.raises(GalleryError, match=f"uses '{templates}'"):
            for_verification(choice, 1, "max", templates, named=True)


def test_what_is_no_operating_point_is_named(make_calibration) -> None:
    with pytest.raises(GalleryError, match=r"^the calibration has fingerprint model-2, the "):
        require_fit(make_calibration(fingerprint="model-2"), "model-1", "the gallery")
    with pytest.raises(GalleryError, match=r"^the calibration is for dot scores"):
        require_cosine(make_calibration(similarity="dot"))
