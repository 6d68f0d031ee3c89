import numpy as np
import pytest

from facever.embeddings.embedding_set import EmbeddingSet
from facever.evaluate import identification
from facever.gallery.answers import Answer, Candidate, SearchResult
from facever.studies.trial_gallery import (
    Probes,
    choose_probes,
    make_gallery,
    rates,
    search_threshold,
)


def people(images, seed=0):
    """Embeddings of people with so many images each."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((len(images), 16))
    who = np.repeat(np.arange(len(images)), images)
    rows = centres[who] + 0.5 * rng.standard_normal((len(who), 16))
    return EmbeddingSet.from_arrays(rows, [f"p{i:03d}" for i in who], fingerprint="f")


def test_the_threshold_is_that_of_strangers_in_a_gallery_of_others():
    images = [3, 1] * 30  # sixty people, half of them with a single image
    development = people(images)
    point, reason = search_threshold(development, people=50)
    assert reason == ""
    # thirty are enrolled, those with several images; the singles are the strangers
    assert (point.kind, point.gallery_size, point.score_rule) == ("1:N", 30, "max")
    assert (point.fingerprint, point.similarity, point.target_rate) == ("f", "cosine", 0.1)
    assert (point.trials.genuine, point.trials.impostor) == (60, 30)
    several = np.repeat(np.array(images) == 3, images)
    first = several & ~np.r_[False, development.identities[1:] == development.identities[:-1]]
    vectors, names = development.vectors, development.identities
    alone = identification(
        (vectors[~first], names[~first]), (vectors[first], names[first]), fpir=[0.1]
    )
    assert point.threshold == alone.points[0].threshold


def test_a_large_gallery_needs_more_people_enrolled():
    point, _ = search_threshold(people([3, 1] * 30), people=90)
    assert point.gallery_size == 45  # so that a gallery of 90 has not outgrown it
    assert point.trials.impostor == 15


def test_images_that_failed_play_no_part():
    development = people([3, 1] * 30)
    table = development.rows.copy()
    table.loc[table.index[:3], "error"] = "truncated"  # all of p000
    broken = EmbeddingSet(development.vectors, table, development.meta)
    assert search_threshold(broken, 50).point.gallery_size == 29


@pytest.mark.parametrize(
    ("images", "size", "reason"),
    [
        (
            [4] * 5,
            8,
            "4 images of development people who are not enrolled are too few for a FPIR of 0.1",
        ),
        (
            [4] * 5,
            20,
            "5 development people are too few for a gallery of 20: a threshold needs 10 enrolled "
            "people and other people",
        ),
        (
            [1] * 40,
            20,
            "no threshold from the development people: no mated probes: open-set identification "
            "needs probes of enrolled and of other people",
        ),
    ],
)
def test_why_there_is_no_threshold_is_said(images, size, reason):
    point, said = search_threshold(people(images), size)
    # the development people with four images: four of five are enrolled
    assert (point, said) == (None, reason)


def test_the_gallery_decides_searches_by_it(tmp_path):
    class Extractor:
        fingerprint, dimension, embed = "f", 16, None

    probes = choose_probes(people([3, 1] * 20, seed=1))
    point, _ = search_threshold(people([3, 1] * 30), people=20)
    with make_gallery(tmp_path / "g", Extractor(), probes.enrolled, None, point) as gallery:
        assert list(gallery.operating_points()) == ["development-search"]
        found = gallery.search(probes.mated, k=3)
        strangers = gallery.search(probes.non_mated, k=3)
    assert found.operating_point == point
    counted = rates(probes, found, strangers)
    scores = probes.non_mated.vectors @ probes.enrolled.vectors.T
    assert counted.strangers_known == (scores.max(axis=1) > point.threshold).sum()
    own = probes.mated.vectors @ probes.enrolled.vectors.T
    right = probes.enrolled.identities[own.argmax(axis=1)] == probes.mated.identities
    assert counted.right_first == right.sum()
    assert counted.missed == (~(right & (own.max(axis=1) > point.threshold))).sum()
    assert (counted.mated, counted.nonmated) == (40, 20)


def test_rates_without_a_threshold_are_of_ranks_alone():
    probes = Probes(people([1, 1]), people([1, 1]), people([1]))
    answers = [Answer([Candidate("p000", 0.9)]), Answer([Candidate("p000", 0.9)])]
    counted = rates(probes, SearchResult(answers, "max", None, "scores only"), None)
    assert (counted.right_first, counted.missed, counted.strangers_known) == (1, None, None)
