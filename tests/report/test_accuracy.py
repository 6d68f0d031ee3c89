from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from facever.embeddings.embedding_set import EmbeddingSet
from facever.evaluate import verification
from facever.evaluation.one_to_one.counts import Accuracy
from facever.evaluation.one_to_one.verified import VerificationResult
from facever.evaluation.statistics.roc import Rate
from facever.operating_point import Interval
from facever.render.blocks import Comparisons
from facever.render.page import Report, render
from facever.report import accuracy
from tests.evaluation.oracles import half_way_above

Reader = Callable[[str], Any]
FARS = [1e-1, 1e-2, 1e-5]
pytestmark = pytest.mark.usefixtures("quick_figures")


@pytest.fixture(scope="module")
def result(faces: EmbeddingSet) -> VerificationResult:
    return verification(faces, far=FARS)


@pytest.fixture(scope="module")
def page(faces: EmbeddingSet, result: VerificationResult, read_page: Reader) -> Any:
    return show(result, faces, read_page)


def show(result: VerificationResult, faces: EmbeddingSet, read_page: Reader) -> Any:
    sections = accuracy.sections(result, faces)
    verdict, meaning = accuracy.verdict(result), accuracy.meaning(result)
    return read_page(render(Report("t", verdict, meaning, accuracy.tiles(result), sections)))


def test_the_table_of_operating_points_is_the_result(page: Any, result: VerificationResult) -> None:
    shown = [row.numbers for row in page.table("Operating points")]
    assert len(shown) == 2
    for row, point in zip(shown, result.to_dict()["operating_points"], strict=True):
        assert row == [
            point["far_target"],
            point["far"],
            point["far_interval"]["low"],
            point["far_interval"]["high"],
            point["false_accepts"],
            point["tar"],
            point["interval"]["low"],
            point["interval"]["high"],
            point["false_rejects"],
            point["threshold"],
        ]
        assert 1 - row[8] / result.trials.genuine == pytest.approx(point["tar"])


def test_the_counts_are_those_of_the_scores(page: Any, faces: EmbeddingSet) -> None:
    """Count over again with plain NumPy."""
    held = np.flatnonzero(faces.acquired)
    vectors = np.asarray(faces.vectors, np.float64)
    same, scores = [], []
    for at, i in enumerate(held):
        for j in held[at + 1 :]:
            same.append(faces.identities[i] == faces.identities[j])
            scores.append(np.float32(vectors[i] @ vectors[j]))
    genuine, impostor = np.array(scores)[same], np.array(scores)[~np.array(same)]
    for row in page.table("Operating points"):
        target, far, _, _, false_accepts, tar, _, _, _, threshold = row.numbers
        allowed = int(target * len(impostor))
        assert threshold == pytest.approx(half_way_above(impostor, genuine, allowed), rel=1e-6)
        assert false_accepts == (impostor > threshold).sum() == far * len(impostor)
        assert tar == (genuine > threshold).mean()


def test_texts_are_the_values_rounded(page: Any) -> None:
    for data in page.all("data"):
        text, value = data.text, float(data.attributes["value"])
        number = text.split()[0].replace(",", "")
        assert float(number) == pytest.approx(value, rel=0.006, abs=0.0006), text


def test_few_errors_are_marked_and_warned_of(page: Any, result: VerificationResult) -> None:
    marked = [row.text.count("(few)") for row in page.table("Operating points")]
    points = result.to_dict()["operating_points"]
    assert marked == [p["few_false_accepts"] + p["few_false_rejects"] for p in points]
    assert any(marked)
    assert any("fewer than 30 errors" in note.text for note in page.of_class("p", "note"))


def test_the_way_of_the_intervals_is_named(
    result: VerificationResult, faces: EmbeddingSet, read_page: Reader
) -> None:
    def note(*intervals: Interval) -> str:
        points = [
            replace(point, interval=interval)
            for point, interval in zip(result.operating_points, intervals, strict=True)
        ]
        page = show(replace(result, operating_points=points), faces, read_page)
        notes = [n.text for n in page.of_class("p", "note") if "interval of TAR" in n.text]
        return "; ".join(notes)

    one = Interval(low=0, high=1, method="bootstrap")
    other = Interval(low=0, high=1, method="clopper-pearson", note="too narrow")
    assert note(one, one) == "interval of TAR at FAR 1e-1, 1e-2: bootstrap"
    assert note(one, other) == (
        "interval of TAR at FAR 1e-1: bootstrap; "
        "interval of TAR at FAR 1e-2: clopper-pearson: too narrow"
    )


def test_auc_and_eer_have_their_intervals(page: Any, result: VerificationResult) -> None:
    notes = {
        tile.all("dt")[0].text: tile.all("dd")[1].text for tile in page.of_class("div", "tile")[2:4]
    }
    for name, found in (("AUC", result.auc_interval), ("EER", result.eer_interval)):
        assert found is not None
        assert notes[name].startswith(f"[{found.low:.3f}, {found.high:.3f}] (95 %); ")
    assert "interval of AUC, EER: dyadic logit" in page.text


def test_refused_rates_say_what_they_need(page: Any, result: VerificationResult) -> None:
    assert "FAR 1e-5 is refused: it needs 100,000 impostor trials" in page.clean
    assert page.facts()["impostor pairs"] == f"{result.trials.impostor:,}"


def test_verdict_meaning_and_tiles(page: Any, result: VerificationResult) -> None:
    point = result.operating_points[0]
    assert page.of_class("p", "verdict")[0].text == (
        f"TAR {point.tar:.3f} [{point.interval.low:.3f}, {point.interval.high:.3f}] at FAR 1e-1 on "
        f"{result.trials.genuine:,} genuine / {result.trials.impostor:,} impostor pairs"
    )
    assert page.of_class("p", "meaning")[0].text.startswith(f"{100 * point.tar:.1f} % of the pairs")
    tiles = {
        tile.all("dt")[0].text: tile.all("dd")[0].numbers for tile in page.of_class("div", "tile")
    }
    assert tiles == {
        "TAR at FAR 1e-1": [point.tar],
        "TAR at FAR 1e-2": [result.operating_points[1].tar],
        "AUC": [result.auc.value],
        "EER": [result.eer.value],
        "people": [12],
    }


def test_failures_are_counted_and_named(page: Any, result: VerificationResult) -> None:
    assert page.facts()["not embedded"] == "1"
    (row,) = page.table("Failures to acquire: 1 of 48 images")
    path, person, reason = (cell.text for cell in row.children)
    assert (path, person) == ("person_01/1.png", "person_01")
    assert reason.startswith("truncated <script>")
    with_failures = [row.numbers[1:] for row in page.table("With failures to acquire (FTA")]
    assert with_failures == [
        [point["with_failures"]["far"], point["with_failures"]["tar"]]
        for point in result.to_dict()["operating_points"]
    ]


def test_the_bound_of_binned_figures_is_named(
    result: VerificationResult, faces: EmbeddingSet, read_page: Reader
) -> None:
    assert {"AUC", "EER"} <= set(show(result, faces, read_page).facts())
    binned = replace(result, auc=Rate(0.9, 2.5e-6))
    shown = show(binned, faces, read_page).facts()["AUC"]
    assert shown.startswith("0.90000 (bins: ± 2.5e-6) (95%: [")


def test_overlap_is_stated_once(
    page: Any, result: VerificationResult, faces: EmbeddingSet, read_page: Reader
) -> None:
    def notes(page: Any) -> list[Any]:
        return [
            note for note in page.of_class("p", "note") if "Overlap with the training" in note.text
        ]

    assert "none of the 12 people" in notes(page)[0].text
    assert "warning" not in notes(page)[0].attributes["class"]
    known = faces.trained_on
    assert known is not None
    overlapping = replace(faces, trained_on=known.assign(identity="person_03"))
    (note,) = notes(show(verification(overlapping, far=FARS), overlapping, read_page))
    assert "1 of the 12 people (person_03; from elsewhere)" in note.text
    assert "warning" in note.attributes["class"]
    nobody = replace(faces, trained_on=None)
    (note,) = notes(show(verification(nobody, far=FARS), nobody, read_page))
    assert "unknown" in note.text
    assert "warning" in note.attributes["class"]


def test_the_worst_pairs_with_their_outcomes(
    result: VerificationResult, faces: EmbeddingSet
) -> None:
    strangers, relatives = accuracy.sections(result, faces)[2].blocks
    assert isinstance(strangers, Comparisons)
    assert isinstance(relatives, Comparisons)
    loose, strict = result.operating_points
    for block, worst in ((strangers, result.worst_impostors), (relatives, result.worst_genuine)):
        assert len(block.items) == 12
        for item, (i, j, score) in zip(block.items, worst, strict=False):
            assert [item.probe.name, item.others[0].name] == [*faces.identities[[i, j]]]
            assert item.score is not None
            assert item.score.value == score
    for item in strangers.items:
        assert item.score is not None
        accepted = [p for p in (loose, strict) if item.score.value > p.threshold]
        expected = {0: "rejected everywhere", 1: "false accept at FAR 1e-1"}
        assert item.verdict == expected.get(len(accepted), "false accept at FAR 1e-2")
        assert item.tone == ("bad" if accepted else "good")
    for item in relatives.items:
        assert item.score is not None
        rejected = [p for p in (loose, strict) if item.score.value <= p.threshold]
        expected = {0: "accepted everywhere", 1: "false reject at FAR 1e-2"}
        assert item.verdict == expected.get(len(rejected), "false reject at FAR 1e-1")
    assert {"false accept at FAR 1e-2", "false accept at FAR 1e-1"} <= {
        item.verdict for item in strangers.items
    }


def test_pictures_that_are_gone_leave_a_place_that_says_so(
    result: VerificationResult, faces: EmbeddingSet
) -> None:
    rows = [(3, 4, 0.9), (17, 3, 0.8), (0, 1, 0.7)]
    shown = accuracy.sections(replace(result, worst_impostors=rows), faces)[2].blocks[0]
    assert isinstance(shown, Comparisons)
    pictures = [picture for item in shown.items for picture in (item.probe, *item.others)]
    assert [picture.uri is None for picture in pictures] == [True, False, True, True, False, False]
    assert all("no such file" in p.reason.lower() for p in pictures if p.uri is None)


@pytest.mark.parametrize("thumbnails", [True, False])
def test_without_paths_or_thumbnails_only_names_are_shown(
    result: VerificationResult, faces: EmbeddingSet, thumbnails: bool
) -> None:
    rows = faces.rows.drop(columns="path") if thumbnails else faces.rows
    sections = accuracy.sections(result, replace(faces, rows=rows), thumbnails)
    report = Report("t", "v", "m", [], sections)
    assert not report.pictures
    assert "<img" not in render(report)
    assert 'class="missing"' not in render(report)
    assert "person_01" in render(report)


def test_nothing_but_refusals(faces: EmbeddingSet, read_page: Reader) -> None:
    result = verification(faces, far=[1e-6])
    page = show(result, faces, read_page)
    assert page.of_class("p", "verdict")[0].text.startswith(f"AUC {result.auc.value:.3f} on ")
    assert "too few pairs" in page.of_class("p", "meaning")[0].text
    assert len(page.all("svg")) == 3


def test_accuracy_is_the_headline_of_protocols_that_have_one(
    result: VerificationResult, faces: EmbeddingSet, read_page: Reader
) -> None:
    interval = Interval(low=0.84, high=0.88, method="clopper-pearson")
    single = Accuracy(0.8612, 0.0109, [0.25], "threshold chosen on others", interval)
    page = show(replace(result, accuracy=single, protocol="lfw-view1"), faces, read_page)
    assert page.of_class("p", "verdict")[0].text.startswith("Accuracy 0.861 ± 0.011 (lfw-view1) on")
    assert page.of_class("p", "meaning")[0].text.startswith("86.1 % of the pairs are classified")
    assert page.facts()["accuracy"] == (
        "86.12% ± 1.09% [84.00%, 88.00%] (threshold chosen on others; interval: clopper-pearson)"
    )
    assert page.facts()["thresholds"] == "0.2500"
    folds = Accuracy(0.8612, 0.0109, [0.25, 0.3], "ten folds")
    facts = show(replace(result, accuracy=folds), faces, read_page).facts()
    assert facts["accuracy"] == "86.12% ± 1.09% (ten folds)"
    assert facts["thresholds"] == "0.2500, 0.3000"


def test_people_of_the_training_stand_in_the_headline_and_on_every_card(
    page: Any, faces: EmbeddingSet, read_page: Reader
) -> None:
    known = pd.DataFrame({"identity": ["person_03", "person_05", " person_05"], "dataset": "old"})
    overlapping = replace(faces, trained_on=known)
    result = verification(overlapping, far=FARS)
    found = show(result, overlapping, read_page)
    said = "trained on 2 of the 12 people"
    assert said in found.of_class("p", "verdict")[0].clean
    assert "was trained on some of these people" in found.of_class("p", "meaning")[0].clean
    cards = found.of_class("div", "tile")
    assert len(cards) == 5
    assert all(said in card.clean for card in cards)
    assert "trained on" not in page.of_class("p", "verdict")[0].clean
    assert not any("trained on" in card.clean for card in page.of_class("div", "tile"))
