"""Filters, templates, probabilities and probes without a vector, against plain loops."""

import json

import numpy as np
import pytest
from scipy.special import expit

from facever.embeddings.embedding_set import EmbeddingSet, with_outcome
from facever.errors import ConfigError, GalleryError
from facever.evaluation.policies import make_templates
from facever.gallery.gallery import Gallery


@pytest.fixture
def known(gallery: Gallery, faces: EmbeddingSet) -> Gallery:
    """The gallery of made-up people, each with a site and some with a role."""
    for number, person in enumerate(sorted(set(faces.identities))):
        about = {"site": "AB"[number % 2], "floor": number % 3}
        gallery.update(person, about | ({"role": "guest"} if number % 4 == 0 else {}))
    return gallery


@pytest.fixture
def broken(units) -> EmbeddingSet:
    """Five probes, of which the second and the last could not be embedded."""
    faces = EmbeddingSet.from_arrays(units(5, seed=3), list("vwxyz"), fingerprint="model-1")
    vectors = faces.vectors.copy()
    vectors[[1, 4]] = 0
    rows = faces.rows.drop(columns=["norm", "error"])
    errors = [None, "truncated", None, None, "no such image"]
    return EmbeddingSet(
        vectors, with_outcome(rows, np.linalg.norm(vectors, axis=1), errors), faces.meta
    )


@pytest.mark.parametrize("rule", ["max", "mean"])
@pytest.mark.parametrize(
    "where",
    [{"site": "A"}, {"site": ["A", "B"], "floor": [0, 1]}, {"role": "guest", "site": "A"}, {}],
)
def test_only_those_of_whom_it_is_known_are_searched(
    known, faces, units, slow_search, assert_answer, where, rule
) -> None:
    wanted = {
        person
        for person in set(faces.identities)
        if all(
            known.metadata(person).get(key) in (v if isinstance(v, list) else [v])
            for key, v in where.items()
        )
    }
    assert wanted
    probes = units(6, seed=3)
    found = known.search(probes, 4, fingerprint="model-1", rule=rule, where=where)
    assert found.searched == len(wanted)
    for answer, probe in zip(found, probes, strict=True):
        ranked = slow_search(faces.vectors, list(faces.identities), probe, rule)
        assert_answer(answer, [pair for pair in ranked if pair[0] in wanted][:4])


def test_with_a_filter_the_rules_count_those_searched(known, faces, make_point) -> None:
    point = make_point("1:N", gallery_size=5, threshold=-1.0)
    grown = known.search(faces, operating_point=point)
    assert "measured with 5 people, but the gallery has 12" in grown.note
    assert all(answer.known is None and answer.candidates for answer in grown)
    found = known.search(faces, operating_point=point, where={"role": "guest"})
    assert found.searched == 3
    assert "3 people are searched, fewer than the 5 of the operating point" in found.note
    assert all(answer.known for answer in found)
    one = known.search(faces, operating_point=make_point(), where={"site": "A"})
    assert one.implied_fpir == pytest.approx(1 - 0.999**6)


def test_nobody_passes_a_filter_that_nobody_meets(known, faces, make_point) -> None:
    point = make_point("1:N", threshold=-1.0)
    found = known.search(faces, operating_point=point, where={"site": "C"})
    assert found.searched == 0
    assert all(a.candidates == [] and a.known is False and a.person is None for a in found)
    with pytest.raises(GalleryError, match="a key of metadata"):
        known.search(faces, where={"": "A"})


def test_a_probe_without_a_vector_stops_no_other(
    known, broken, units, make_point, assert_answer
) -> None:
    point = make_point("1:N", threshold=-1.0)
    found = known.search(broken, 3, operating_point=point)
    whole = known.search(units(5, seed=3), 3, fingerprint="model-1", operating_point=point)
    for row in (0, 2, 3):
        assert found[row].person == whole[row].person is not None
        assert_answer(found[row], [(c.person, c.score) for c in whole[row].candidates])
    for row, error in ((1, "truncated"), (4, "no such image")):
        answer = found[row]
        assert (answer.error, answer.candidates, answer.known) == (error, [], None)
        assert answer.person is None
    one = make_point(threshold=-1.0)
    told = known.verify(broken, "a", operating_point=one)
    every = known.verify(units(5, seed=3), "a", fingerprint="model-1", operating_point=one)
    assert told.errors == [None, "truncated", None, None, "no such image"]
    assert every.errors == [None] * 5
    wanted = [every.scores[row] if row not in (1, 4) else None for row in range(5)]
    assert told.scores == pytest.approx(wanted, abs=1e-6)
    assert told.same == [True, None, True, True, None]
    assert json.loads(json.dumps(told.to_dict()))["errors"] == told.errors


def test_probes_none_of_which_has_a_vector(known, broken) -> None:
    none = broken.select([1, 4])
    assert [answer.error for answer in known.search(none)] == ["truncated", "no such image"]
    told = known.verify(none, "a")
    assert (told.scores, told.errors) == ([None, None], ["truncated", "no such image"])


@pytest.mark.parametrize("policy", ["mean", "quality_mean", "medoids:2"])
@pytest.mark.parametrize("rule", ["max", "mean"])
def test_people_are_compared_by_their_templates(
    gallery, faces, units, slow_search, assert_answer, policy: str, rule: str
) -> None:
    gallery.set_templates(policy)
    names = sorted(set(faces.identities))
    owners, vectors = make_templates(
        faces.vectors, [names.index(n) for n in faces.identities], policy, faces.rows["norm"]
    )
    people = [names[owner] for owner in owners]
    probes = units(4, seed=3)
    found = gallery.search(probes, 3, fingerprint="model-1", rule=rule)
    assert (found.templates, found.searched) == (policy, 12)
    told = gallery.verify(probes, "a", fingerprint="model-1", rule=rule)
    assert (told.templates, told.images) == (policy, people.count("a"))
    for answer, score, probe in zip(found, told.scores, probes, strict=True):
        ranked = slow_search(vectors, people, probe, rule)
        assert_answer(answer, ranked[:3])
        assert score == pytest.approx(dict(ranked)["a"], abs=1e-6)


def test_what_decides_must_be_for_the_templates(gallery, faces, make_point) -> None:
    gallery.set_templates("mean")
    with pytest.raises(GalleryError, match=r"with templates 'all', but .* uses 'mean'"):
        gallery.search(faces, operating_point=make_point("1:N"))
    with pytest.raises(GalleryError, match=r"with templates 'all', but .* uses 'mean'"):
        gallery.verify(faces, "a", operating_point=make_point())
    many = make_point("1:N", templates="mean", threshold=-1.0)
    assert gallery.search(faces, operating_point=many)[0].known is True
    one = make_point("1:1-template", templates="mean", threshold=-1.0)
    assert gallery.verify(faces.select([0]), "a", operating_point=one).same == [True]


def test_the_first_candidate_is_given_its_probability(known, faces, make_calibration) -> None:
    plain = known.search(faces, 3)
    assert (plain.calibration, plain[0].candidates[0].probability) == (None, None)
    stored = make_calibration("1:N")
    known.add_calibration("site", stored)
    assert known.calibrations() == {"site": stored}
    assert known.info().calibrations["site"]["prior"] == 0.25
    found = known.search(faces, 3)
    assert found.calibration == stored
    for answer in found:
        first, *others = answer.candidates
        expected = expit(-4 + 10 * first.score + np.log(0.25 / 0.75))
        assert first.probability == pytest.approx(expected)
        assert all(one.probability is None for one in others)
    assert json.loads(json.dumps(found.to_dict()))["calibration"]["prior"] == 0.25
    assert known.search(faces, where={"site": "C"})[0].candidates == []
    by_mean = known.search(faces, 3, rule="mean")
    assert by_mean.calibration is None
    assert "no probabilities: the calibration is for score rule max, not for mean" in by_mean.note
    rare = make_calibration("1:N", prior=0.001)
    rarer = known.search(faces, 1, calibration=rare)
    assert rarer[0].candidates[0].probability < found[0].candidates[0].probability
    grown = known.search(faces, calibration=make_calibration("1:N", gallery_size=5))
    assert "no probabilities: the calibration was measured with 5 people" in grown.note
    assert grown[0].candidates[0].probability is None
    known.remove_calibration("site")
    assert known.search(faces)[0].candidates[0].probability is None


def test_a_verification_is_given_its_probability(known, broken, make_calibration) -> None:
    assert known.verify(broken, "single").probabilities is None
    known.add_calibration("one", make_calibration())
    told = known.verify(broken, "single")
    for score, probability in zip(told.scores, told.probabilities, strict=True):
        if score is None:
            assert probability is None
        else:
            assert probability == pytest.approx(expit(-4 + 10 * score + np.log(0.25 / 0.75)))
    assert "no 1:1 operating point" in told.note
    assert "calibration" not in told.note
    several = known.verify(broken, "a")
    assert several.note.endswith("; the calibration is for one image, not for the best of 35")
    assert json.loads(json.dumps(told.to_dict()))["calibration"]["kind"] == "1:1-image"


def test_a_calibration_of_another_model_is_refused(known, faces, make_calibration) -> None:
    other = make_calibration("1:N", fingerprint="model-2")
    for ask in (lambda: known.add_calibration("x", other),
                lambda: known.search(faces, calibration=other)):  # fmt: skip
        with pytest.raises(GalleryError, match=r"^the calibration has fingerprint model-2, the "):
            ask()
    with pytest.raises(GalleryError, match="for dot scores"):
        known.verify(faces, "a", calibration=make_calibration(similarity="dot"))
    with pytest.raises(GalleryError, match="unknown calibration 'x'"):
        known.verify(faces, "a", calibration="x")


def test_operating_points_are_forgotten(known, faces, make_point) -> None:
    known.add_operating_point("door", make_point("1:N"))
    known.remove_operating_point("door")
    assert known.search(faces).operating_point is None
    with pytest.raises(GalleryError, match="there is no operating point 'door'"):
        known.remove_operating_point("door")
    with pytest.raises(GalleryError, match="there is no calibration 'door'"):
        known.remove_calibration("door")


def test_a_search_during_which_all_entries_become_others_is_made_again(
    gallery, place, faces, make_point, monkeypatch
) -> None:
    """Another process changes the templates between the decision and the search."""
    point = make_point("1:N", threshold=-1.0)
    asked, search = [], gallery._index.search

    def late(*args):
        if not asked:
            with Gallery.open(place) as other:
                other.set_templates("mean")
        asked.append(args)
        return search(*args)

    monkeypatch.setattr(gallery._index, "search", late)
    with pytest.raises(GalleryError, match="uses 'mean'"):
        gallery.search(faces, operating_point=point)
    assert len(asked) == 1


def test_an_index_of_people_who_are_not_there_is_told(gallery, faces, monkeypatch) -> None:
    search = gallery._index.search

    def stale(*given):
        scores, keys = search(*given)
        return scores, keys + 1000

    monkeypatch.setattr(gallery._index, "search", stale)
    with pytest.raises(GalleryError, match="'facever gallery rebuild'") as refusal:
        gallery.search(faces)
    assert str(gallery.path) in str(refusal.value)


def test_a_gallery_that_outgrows_its_point_answers_scores_and_says_why(
    gallery, faces, make_point, units, capsys
) -> None:
    gallery.add_operating_point("door", make_point("1:N", score_rule="mean", threshold=0.4))
    assert "warning" not in capsys.readouterr().err
    decided = gallery.search(faces, 3, decide=True)
    assert all(answer.known is not None for answer in decided)
    names = [f"new {each}" for each in range(30)]
    gallery.enroll(units(30, seed=5), names, fingerprint="model-1")
    for given in (None, "door"):
        found = gallery.search(faces, 3, operating_point=given)
        assert found.operating_point is None
        assert "measured with 12 people, but the gallery has 42" in found.note
        assert found.rule == "mean"  # scores do not change because nothing decides
        assert all(answer.known is None and answer.person is None for answer in found)
        assert all(len(answer.candidates) == 3 for answer in found)
        with pytest.raises(GalleryError, match=r"no decision is possible: .* the gallery has 42"):
            gallery.search(faces, 3, operating_point=given, decide=True)
    assert json.loads(json.dumps(found.to_dict()))["answers"][0]["known"] is None


def test_a_point_that_does_not_fit_is_added_with_a_warning(
    gallery, make_point, make_calibration, capsys
) -> None:
    gallery.add_operating_point("small", make_point("1:N", gallery_size=5))
    assert "warning: " in (said := capsys.readouterr().err)
    assert "with 5 people, but the gallery has 12" in said
    gallery.add_calibration("small", make_calibration("1:N", gallery_size=5))
    assert "with 5 people, but the gallery has 12" in capsys.readouterr().err
    gallery.add_operating_point("means", make_point("1:1-template", templates="mean"))
    assert "templates 'mean'" in capsys.readouterr().err
    gallery.add_operating_point("second", make_point("1:N"))
    assert "small, second" in capsys.readouterr().err
    gallery.add_operating_point("pair", make_point())
    assert "means, pair" in capsys.readouterr().err


def test_nothing_decides_where_a_decision_is_wanted(gallery, faces, make_point) -> None:
    with pytest.raises(
        GalleryError, match=r"no decision is possible: the gallery has no 1:N operating"
    ):
        gallery.search(faces, decide=True)
    with pytest.raises(GalleryError, match=r"no decision is possible: a 1:1-image operating point"):
        gallery.search(faces, operating_point=make_point(), decide=True)


def test_a_gallery_of_an_earlier_version_with_a_point_that_contradicts_itself(
    gallery, faces, make_point, make_calibration
) -> None:
    bad = make_point("1:N").model_copy(update={"threshold": -2.0})
    gallery._store.add_measured("operating point", "door", "1:N", bad.model_dump_json())
    gallery._store.add_measured("operating point", "pair", "1:1-image", "{")
    gallery._store.add_measured("calibration", "odds", "1:N", "[" * 100_000)
    found = gallery.search(faces, 2)
    assert all(answer.known is None and len(answer.candidates) == 2 for answer in found)
    assert "operating point 'door': threshold -2" in found.note
    assert gallery.verify(faces, "a").same is None
    for ask in (
        lambda: gallery.search(faces, operating_point="door"),
        lambda: gallery.search(faces, decide=True),
        lambda: gallery.search(faces, calibration="odds"),
        lambda: gallery.verify(faces, "a", operating_point="pair"),
    ):
        with pytest.raises(GalleryError, match=r"'(door|pair|odds)'"):
            ask()
    with pytest.raises(ConfigError, match="threshold -2"):
        gallery.search(faces, operating_point=bad)
    with pytest.raises(ConfigError, match="threshold -2"):
        gallery.add_operating_point("other", bad)
    told = gallery.info().unusable
    assert ["door" in told[0], "pair" in told[1], "odds" in told[2]] == [True] * 3
    assert [one.part for one in gallery.check()] == ["decisions"] * 3
    gallery.enroll(faces.select([0]), "somebody", duplicates="keep")
    for name in ("door", "pair"):
        gallery.remove_operating_point(name)
    gallery.remove_calibration("odds")
    assert gallery.check() == []
