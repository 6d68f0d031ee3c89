import numpy as np
import pytest

from facever.evaluation.one_to_many import by_person
from facever.evaluation.one_to_many.by_person import paired_intervals, person_intervals
from facever.evaluation.statistics.intervals import DRAWS, clopper_pearson, expanded, weights


def drawn_means(values, codes, seed=0):
    """Repeat every person's rows as often as they are drawn, one population after the other."""
    people = sorted(set(codes.tolist()))
    means = []
    for counts in weights(len(people), DRAWS, seed):
        rows = [
            row
            for person, count in zip(people, counts, strict=True)
            for _ in range(int(count))
            for row in np.flatnonzero(codes == person)
        ]
        means.append(values[rows].mean(axis=0))
    return np.array(means)


@pytest.fixture
def rows():
    """Values of people with one to nine rows each, who differ."""
    rng = np.random.default_rng(0)
    codes = np.repeat(rng.permutation(12) * 7, rng.integers(1, 10, size=12))
    level = rng.uniform(0.2, 0.8, size=100)[codes // 7]
    values = np.stack([rng.random(len(codes)) < level, level * rng.random(len(codes))], axis=1)
    return values.astype(float), codes


def test_intervals_are_those_of_a_loop_over_drawn_people(rows):
    values, codes = rows
    wanted = np.quantile(drawn_means(values, codes), expanded(0.9, 12), axis=0)
    found = person_intervals(values, codes, 0.9)
    ends = np.array([(one.low, one.high) for one in found]).T
    assert ends == pytest.approx(wanted)
    assert {(one.level, one.method) for one in found} == {(0.9, "identity bootstrap")}


def test_paired_intervals_may_hold_zero_and_are_named(rows):
    values, codes = rows
    difference = values - values[::-1]
    wanted = np.quantile(drawn_means(difference, codes), expanded(0.95, 12), axis=0)
    found = paired_intervals(difference, codes)
    ends = np.array([(one.low, one.high) for one in found]).T
    assert ends == pytest.approx(wanted)
    assert {one.method for one in found} == {"paired identity bootstrap"}
    assert found[1].low < 0 < found[1].high


def test_a_share_without_exception_counts_people(rows):
    _, codes = rows
    never, always = person_intervals(
        np.stack([np.zeros(len(codes)), np.ones(len(codes))], axis=1), codes
    )
    exact = clopper_pearson(0, 12)
    assert (never.low, never.high) == (0, pytest.approx(exact.high))
    assert (always.low, always.high) == (pytest.approx(1 - exact.high), 1)
    assert "counted as 12 independent" in never.note


def test_many_people_are_drawn_in_parts(rows, monkeypatch):
    values, codes = rows
    monkeypatch.setattr(by_person, "_AT_ONCE", 12 * 300)
    sizes = []
    monkeypatch.setattr(
        by_person,
        "weights",
        lambda people, draws, *keys: sizes.append(draws) or weights(people, draws, *keys),
    )
    in_parts = person_intervals(values, codes)[1]
    assert sizes == [300] * 6 + [200]
    assert in_parts.low < values[:, 1].mean() < in_parts.high
