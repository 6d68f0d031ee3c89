"""The comparison of heads against the definition of each number."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from facever.errors import EvaluationError
from facever.evaluation.statistics.paired import holm, over_people
from facever.studies.bakeoff.judging import RunFigures
from facever.studies.bakeoff.page import report
from facever.studies.bakeoff.result import BakeoffResult, BakeoffRun, compare_heads

PEOPLE = 50
VALUES = {
    "base": [0.50, 0.51, 0.49, 0.50, 0.52],
    "better": [0.60, 0.62, 0.59, 0.61, 0.62],
    "same": [0.50, 0.50, 0.50, 0.51, 0.50],
    "wild": [0.70, 0.45, 0.75, 0.50, 0.72],
}


def record(label: str, seed: int) -> BakeoffRun:
    value = VALUES[label][seed]
    together = np.random.default_rng(0).normal(0, 0.05, 2000)  # what the people do to every head
    own = np.random.default_rng([seed, list(VALUES).index(label)]).normal(0, 0.01, 2000)
    judged = RunFigures(
        "cosine", {"tar@1e-3": value}, {"tar@1e-3": value + together + own},
        np.full(PEOPLE, 98.0), 100, 2450, 0.3, {},
    )  # fmt: skip
    return BakeoffRun(label, seed, f"{label}-{seed}", judged, 10, 2.0 + seed, "auc", [(1, value)])


@pytest.fixture
def result() -> BakeoffResult:
    runs = [record(label, seed) for seed in (3, 1, 0, 2, 4) for label in VALUES]
    return compare_heads(runs, "subset=test", "base")


def test_differences_over_seeds_are_paired_t_tests_with_holm(result: BakeoffResult) -> None:
    expected = {
        label: stats.ttest_rel(VALUES[label], VALUES["base"]) for label in VALUES if label != "base"
    }
    corrected = holm([float(found.pvalue) for found in expected.values()])
    assert [verdict.label for verdict in result.verdicts] == list(expected)
    for verdict, found, p in zip(result.verdicts, expected.values(), corrected, strict=True):
        assert verdict.seeds is not None
        assert verdict.seeds.mean == pytest.approx(
            np.mean(VALUES[verdict.label]) - np.mean(VALUES["base"])
        )
        assert verdict.seeds.p == pytest.approx(found.pvalue)
        assert verdict.corrected["seeds"] == pytest.approx(p)


def test_differences_over_people_share_the_draws_and_average_the_seeds(
    result: BakeoffResult,
) -> None:
    draws = {
        label: np.mean([record(label, seed).judged.draws["tar@1e-3"] for seed in range(5)], axis=0)
        for label in VALUES
    }
    found = {
        label: over_people(
            draws[label] - draws["base"], np.mean(VALUES[label]) - np.mean(VALUES["base"]), PEOPLE
        )
        for label in ("better", "same", "wild")
    }
    for verdict in result.verdicts:
        expected = found[verdict.label]
        assert verdict.people.mean == pytest.approx(expected.mean)
        assert verdict.people.interval == expected.interval
        assert verdict.people.interval.high - verdict.people.interval.low < 0.05  # paired
    assert [v.corrected["people"] for v in result.verdicts] == holm([d.p for d in found.values()])


def test_verdicts(result: BakeoffResult) -> None:
    words = {verdict.label: verdict.words for verdict in result.verdicts}
    assert words == {"better": "resolved", "same": "not resolved", "wild": "over people only"}
    assert "1 of 3 differences from base resolved" in report(result).verdict


def test_means_and_intervals_over_seeds(result: BakeoffResult) -> None:
    head = result.heads[1]
    interval = head.intervals["tar@1e-3"]
    assert interval is not None
    assert head.means["tar@1e-3"] == pytest.approx(0.608)
    assert (interval.low, interval.high) == pytest.approx(
        stats.t.interval(0.95, 4, 0.608, stats.sem(VALUES["better"]))
    )
    assert head.seconds == 4
    assert result.seeds == [0, 1, 2, 3, 4]
    half = (interval.high - interval.low) / 2
    assert f"0.6080 ± {half:.4f}" in result.to_text()


def test_json_holds_what_the_text_says(result: BakeoffResult) -> None:
    values = result.to_dict()
    assert values["baseline"] == "base"
    assert [head["label"] for head in values["heads"]] == list(VALUES)
    assert values["differences"][0]["resolved"] == {"seeds": True, "people": True}
    assert values["trials"] == {"genuine": 100, "impostor": 2450}
    assert len(values["runs"]) == 20


def test_one_seed_has_no_interval_over_seeds() -> None:
    result = compare_heads([record(label, 0) for label in VALUES], "t", "base")
    assert result.heads[0].intervals == {"tar@1e-3": None}
    assert result.verdicts[0].seeds is None
    assert result.verdicts[0].words == "over people only"
    assert result.to_dict()["differences"][0]["over_seeds"] is None
    assert "0.5000 " in result.to_text()


def test_runs_with_other_trials_cannot_be_compared() -> None:
    one, two = record("base", 0), record("better", 0)
    other = replace(two, judged=replace(two.judged, per_person=np.full(PEOPLE, 97.0)))
    with pytest.raises(EvaluationError, match="better-0 and base-0 have different trials"):
        compare_heads([one, other], "t", "base")
