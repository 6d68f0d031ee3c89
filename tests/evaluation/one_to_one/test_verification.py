import json
import re

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_curve

from facever.errors import EvaluationError
from facever.evaluate import Cohort, verification
from facever.evaluation.scoring import streaming
from facever.operating_point import OperatingPoint
from facever.render.numbers import far_text
from tests.evaluation.oracles import cosines, half_way_above


def all_scores(vectors, names):
    i, j = np.triu_indices(len(vectors), 1)
    return cosines(vectors, vectors)[i, j], names[i] == names[j]


def test_tar_at_far_is_scikit_learns_under_the_not_above_target_rule(make_faces):
    vectors, names = make_faces(150, people=15)
    scores, same = all_scores(vectors, names)
    fpr, tpr, _ = roc_curve(same, scores, drop_intermediate=False)
    result = verification(vectors, names, far=[0.1, 0.01, 0.001])
    assert [point.far_target for point in result.operating_points] == [0.1, 0.01, 0.001]
    for point in result.operating_points:
        assert point.far <= point.far_target
        assert point.tar == pytest.approx(tpr[fpr <= point.far_target].max(), abs=1e-12)
        assert point.false_accepts == (scores[~same] > point.threshold).sum()
        assert point.true_accepts == (scores[same] > point.threshold).sum()
        k = int(point.far_target * (~same).sum())
        between = half_way_above(scores[~same], scores[same], k)
        assert point.threshold == pytest.approx(between, rel=1e-7)


def test_ties_lower_the_far_and_never_raise_it():
    # four impostor scores are equal: a budget of one accepts none of them
    eye = np.eye(4)
    vectors = np.concatenate([eye, eye])
    result = verification(vectors, list("abcdabcd"), far=[0.05])
    assert result.trials.impostor == 24
    assert (result.at(0.05).false_accepts, result.at(0.05).threshold) == (0, 0.5)
    assert result.at(0.05).tar == 1


def test_a_far_that_the_trials_cannot_support_is_refused_with_what_would(make_faces):
    vectors, names = make_faces(40)
    result = verification(vectors, names, far=[0.01, 1e-6])
    assert [point.far_target for point in result.operating_points] == [0.01]
    assert result.to_dict()["refused"] == [{"far_target": 1e-6, "needs": 1_000_000}]
    assert "FAR 1e-6 is refused: it needs 1,000,000 impostor trials" in result.to_text()
    with pytest.raises(EvaluationError, match="FAR of 1e-06 needs 1,000,000 impostor trials"):
        result.operating_point(1e-6)


def test_the_json_has_the_keys_that_were_promised(make_faces):
    vectors, names = make_faces(60)
    values = json.loads(json.dumps(verification(vectors, names, far=[0.01]).to_dict()))
    promised = {"protocol", "trials", "auc", "eer", "eer_hull", "accuracy"}
    assert promised | {"operating_points", "refused", "overlap"} <= set(values)
    assert set(values["trials"]) == {"genuine", "impostor"}
    point = values["operating_points"][0]
    assert {"far_target", "far", "tar", "threshold", "false_accepts", "interval"} <= set(point)
    assert {"low", "high", "level", "method"} <= set(point["interval"])
    assert point["interval"]["low"] <= point["tar"] <= point["interval"]["high"]
    assert point["far_interval"]["low"] <= point["far"] <= point["far_interval"]["high"]
    assert values["accuracy"] is None
    assert point["interval"]["method"] == "identity bootstrap"
    assert point["far_interval"]["method"] == "dyadic logit"
    assert values["auc_interval"]["low"] < values["auc"] < values["auc_interval"]["high"]


def test_the_worst_trials_are_listed_by_row(make_faces):
    vectors, names = make_faces(60)
    result = verification(vectors, names, far=[0.1])
    scores, same = all_scores(vectors, names)
    found = [score for *_, score in result.worst_impostors]
    assert found == sorted(scores[~same].tolist(), reverse=True)[:50]
    assert [s for *_, s in result.worst_genuine] == sorted(scores[same].tolist())[:50]
    values = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert [tuple(pair) for pair in values["worst_impostors"]] == result.worst_impostors
    assert [tuple(pair) for pair in values["worst_genuine"]] == result.worst_genuine
    for listed, is_same in ((result.worst_impostors, False), (result.worst_genuine, True)):
        for i, j, score in listed:
            assert (names[i] == names[j]) == is_same
            assert score == pytest.approx(float(vectors[i] @ vectors[j]), abs=1e-6)


def test_detail_is_printed_too(make_faces):
    vectors, names = make_faces(90, people=10)
    result = verification(vectors, names, far=[0.1, 0.01], detail=True)
    text = result.to_text()
    assert "Along the curve" in text
    middle = result.band[2]
    assert f"{middle.tar:.4f}  [{middle.interval.low:.4f}, {middle.interval.high:.4f}]" in text
    found = result.suspects
    assert f"{found.alike:,} impostor pairs score above" in text
    a, b, score = found.alike_pairs[0]
    assert f"row {a} and row {b}: {score:.6g}" in text
    assert f"of {found.stray_count} images are all at most {found.impostor_median:.6g}" in text
    assert "SUSPECTED WRONG NAMES" not in verification(vectors, names, far=[0.1, 0.01]).to_text()
    half = (vectors[:40], names[:40])
    other = verification(vectors[40:], names[40:], against=half, far=[0.1], detail=True)
    assert "mislabelled images are searched for in a single set" in other.to_text()


def test_the_two_equal_error_rates_are_on_one_scale(make_faces):
    vectors, names = make_faces(60)
    result = verification(vectors, names, far=[0.1])
    assert re.search(rf"EER on the hull +{result.eer_hull:.5f}\n", result.to_text())


def test_few_errors_and_both_kinds_of_them_are_in_the_result(make_faces):
    vectors, names = make_faces(60)
    result = verification(vectors, names, far=[0.1, 0.01])
    for point, values in zip(
        result.operating_points, result.to_dict()["operating_points"], strict=True
    ):
        assert values["false_rejects"] == result.trials.genuine - point.true_accepts
        assert (values["fmr"], values["fnmr"]) == (point.far, pytest.approx(1 - point.tar))
        assert values["few_false_accepts"] == (point.false_accepts < 30)
        assert values["few_false_rejects"] == (point.false_rejects < 30)
    few = [values["few_false_accepts"] for values in result.to_dict()["operating_points"]]
    assert few == [False, True]
    text = result.to_text()
    assert f"{result.at(0.01).false_accepts} (few)" in text
    assert "(few): fewer than 30 errors" in text
    assert "interval of FAR at FAR 1e-1: dyadic logit: effective trials: " in text
    assert "interval of TAR at FAR 1e-1, 1e-2: identity bootstrap" in text


def test_no_errors_are_printed_with_both_numbers():
    eye = np.eye(20)[np.arange(60) % 20]
    text = verification(eye, np.arange(60) % 20, far=[0.01]).to_text()
    assert (
        "interval of FAR at FAR 1e-2: clopper-pearson, effective trials: 1710 trials with "
        "equal outcome, counted as 10 independent trials, one per two people (rule of three: 0.3; "
        "0.0018 if all were independent)" in text
    )
    assert "60 genuine trials with equal outcome, counted as 20 independent trials, one per" in text
    assert "(rule of three: 0.15; 0.05 if all were independent)" in text


def test_failures_to_acquire_leave_the_trials_and_are_counted(make_faces):
    vectors, names = make_faces(50, people=6)
    held = np.ones(50, bool)
    held[[3, 17, 31]] = False
    broken = vectors.copy()
    broken[~held] = np.nan
    columns = {"vectors": broken, "identity": names, "acquired": held}
    result = verification(columns, far=[0.05])
    alone = verification(vectors[held], names[held], far=[0.05])
    assert result.at(0.05).threshold == alone.at(0.05).threshold
    assert result.trials == alone.trials
    whole = verification(vectors, names, far=[0.05]).trials
    failures = result.to_dict()["failure_to_acquire"]
    assert (failures["images"], failures["failed"]) == (50, 3)
    assert failures["genuine_trials"] == whole.genuine - alone.trials.genuine
    assert failures["impostor_trials"] == whole.impostor - alone.trials.impostor
    with_failures = result.to_dict()["operating_points"][0]["with_failures"]
    assert with_failures["tar"] == result.at(0.05).true_accepts / whole.genuine
    assert with_failures["far"] == result.at(0.05).false_accepts / whole.impostor
    impostor_share = failures["impostor_trials"] / whole.impostor  # FAR = FMR (1 - FTA)
    assert with_failures["far"] == pytest.approx(result.at(0.05).far * (1 - impostor_share))
    assert failures["rate"] == 0.06
    text = result.to_text()
    exact = binomtest(3, 50).proportion_ci(0.95, method="exact")
    interval = failures["interval"]
    assert (interval["low"], interval["high"]) == pytest.approx((exact.low, exact.high))
    found = rf"3 of 50 \(FTA 0.06, 95% {exact.low:.3g} to {exact.high:.3g}\) \(not in the trials\)"
    assert re.search(rf"failed images +{found}", text)
    assert "With failures to acquire (FTA 0.06 of the images; " in text
    assert f"{far_text(with_failures['far'])}  {with_failures['tar']:.4f}" in text
    for i, j, _ in result.worst_impostors:
        assert held[i]
        assert held[j]


def test_excluded_columns_leave_pairs_out(make_faces):
    vectors, names = make_faces(50, people=6)
    camera = np.arange(50) % 3
    columns = {"vectors": vectors, "identity": names, "camera": camera}
    result = verification(columns, far=[0.05], exclude=["camera"])
    i, j = np.triu_indices(50, 1)
    kept = camera[i] != camera[j]
    same = names[i] == names[j]
    assert result.trials.genuine == (kept & same).sum()
    assert result.trials.impostor == (kept & ~same).sum()
    scores = all_scores(vectors, names)[0]
    ranked = np.sort(scores[kept & ~same])[::-1]
    between = half_way_above(ranked, scores[kept & same], int(0.05 * len(ranked)))
    assert result.at(0.05).threshold == pytest.approx(between, rel=1e-7)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_two_sets_are_compared_with_each_other_as_a_loop_does(
    make_faces, monkeypatch, whole, similarity
):
    if not whole:
        monkeypatch.setattr(streaming, "WHOLE", 0)
    vectors, names = make_faces(130, people=15)
    rng = np.random.default_rng(1)
    image, camera = rng.integers(60, size=130), rng.choice(["x", "y", "z", None], size=130)
    held, norms = rng.random(130) > 0.1, rng.uniform(0.5, 2, 130).astype(np.float32)
    probes, gallery = slice(50), slice(50, None)

    def side(part):
        columns = {"vectors": vectors, "identity": names, "norm": norms, "acquired": held}
        columns |= {"image": image, "camera": camera}
        return {name: values[part] for name, values in columns.items()}

    result = verification(
        side(probes),
        far=[0.1, 0.01],
        similarity=similarity,
        exclude=["image", "camera"],
        against=side(gallery),
    )
    rows = vectors.astype(float) * (norms[:, None] if similarity == "dot" else 1)
    genuine, impostor, lost = [], [], [0, 0]
    for i in range(50):
        for j in range(50, 130):
            if image[i] == image[j] or (camera[i] is not None and camera[i] == camera[j]):
                continue
            if not (held[i] and held[j]):
                lost[int(names[i] != names[j])] += 1
                continue
            lengths = [np.sqrt(rows[k] @ rows[k]) if similarity == "cosine" else 1 for k in (i, j)]
            score = np.float32(rows[i] @ rows[j] / lengths[0] / lengths[1])
            (genuine if names[i] == names[j] else impostor).append((score, i, j - 50))
    assert result.protocol == "probe-gallery"
    assert (result.trials.genuine, result.trials.impostor) == (len(genuine), len(impostor))
    failures = result.failures
    assert (failures.images, failures.failed) == (130, (~held).sum())
    assert [failures.genuine, failures.impostor] == lost
    sides = [[score for score, *_ in one] for one in (impostor, genuine)]
    for point in result.operating_points:
        between = half_way_above(*sides, int(point.far_target * len(impostor)))
        assert point.threshold == pytest.approx(between, abs=1e-6)
        assert point.true_accepts == sum(s > point.threshold for s, *_ in genuine)
    first = result.worst_impostors[0]
    assert first[:2] == max(impostor)[1:]
    json.dumps(result.to_dict(), allow_nan=False)


def test_a_set_against_itself_counts_every_pair_twice_and_itself_unless_excluded(make_faces):
    vectors, names = make_faces(60)
    columns = {"vectors": vectors, "identity": names, "image": np.arange(60)}
    alone = verification(vectors, names, far=[0.05])
    twice = verification(columns, far=[0.05], exclude=["image"], against=columns)
    assert twice.trials.genuine == 2 * alone.trials.genuine
    assert twice.trials.impostor == 2 * alone.trials.impostor
    assert twice.auc.value == pytest.approx(alone.auc.value, abs=1e-12)
    with_itself = verification(vectors, names, far=[0.05], against=(vectors, names))
    assert with_itself.trials.genuine == 2 * alone.trials.genuine + 60


def test_an_operating_point_carries_its_provenance(make_faces, tmp_path):
    vectors, names = make_faces(60)
    result = verification(vectors, names, far=[0.01])
    result.operating_point(0.01).save(tmp_path / "point.json")
    point = OperatingPoint.load(tmp_path / "point.json")
    assert point.kind == "1:1-image"
    assert point.threshold == result.at(0.01).threshold
    assert (point.target_rate, point.achieved_rate) == (0.01, result.at(0.01).far)
    assert point.trials == result.trials
    assert point.interval == result.at(0.01).far_interval
    scores, same = all_scores(vectors, names)
    assert point.miss_rate == pytest.approx((scores[same] <= point.threshold).mean())
    accepted = result.at(0.01).interval
    assert point.miss_interval.low == pytest.approx(1 - accepted.high)
    assert point.miss_interval.high == pytest.approx(1 - accepted.low)


def test_euclidean_of_unit_rows_orders_trials_as_cosine_does(make_faces):
    vectors, names = make_faces(80)
    cosine = verification(vectors, names, far=[0.02])
    euclidean = verification(vectors, names, far=[0.02], similarity="euclidean")
    assert euclidean.at(0.02).tar == cosine.at(0.02).tar
    assert euclidean.at(0.02).threshold == pytest.approx(
        2 * cosine.at(0.02).threshold - 2, abs=1e-5
    )


def test_norms_restore_the_vectors_for_the_dot_product(make_faces):
    vectors, names = make_faces(80)
    norms = np.random.default_rng(0).uniform(0.1, 9, 80).astype(np.float32)
    columns = {"vectors": vectors, "identity": names, "norm": norms}
    by_norms = verification(columns, far=[0.02], similarity="dot")
    by_rows = verification(vectors * norms[:, None], names, far=[0.02], similarity="dot")
    assert by_norms.at(0.02) == by_rows.at(0.02)
    assert by_norms.at(0.02).tar != verification(vectors, names, far=[0.02]).at(0.02).tar


def test_bad_input_is_one_clear_line(make_faces):
    vectors, names = make_faces(30)
    cases = [
        ((vectors, ["one"] * 30), {}, "no impostor trials: at least two people"),
        ((vectors, list(range(30))), {}, "no genuine trials: at least one person needs two images"),
        ((vectors, names[:-1]), {}, "29 identities for 30 vectors"),
        ((vectors, [None, *names[1:]]), {}, "identities: value 0 is missing"),
        ((vectors[0], names), {}, "must be a matrix"),
        ((np.where(np.eye(30, 8) == 1, np.nan, vectors), names), {}, "vector 0 contains NaN"),
        (({"vectors": vectors, "identity": names, "camera": [1, 2]},), {}, "2 camera for 30 v"),
        (({"vectors": vectors, "who": names},), {}, r"no column 'identity' \(found: vectors, who"),
        ((vectors,), {}, "vectors without identities: give"),
        ((0 * vectors, names), {}, "vector 0 has zero length"),
        ((vectors, names), {"exclude": ["camera"]}, "unknown column 'camera'"),
        ((vectors, names), {"similarity": "l2"}, "unknown similarity 'l2'"),
        ((vectors, names), {"far": [1.5]}, "is not between 0 and 1"),
        (
            ({"vectors": vectors, "identity": names, "acquired": [False] * 30},),
            {},
            "no genuine trials",
        ),
        ((vectors, names), {"against": (vectors[:, :5] / 2, names)}, "of width 8 and 5"),
        ((vectors, names), {"against": (vectors, names[1:])}, "29 identities for 30 v"),
        ((vectors, names), {"against": (vectors, ["x"] * 30)}, "no genuine trials"),
        (
            (vectors, names),
            {"against": (vectors, names), "cohort": Cohort.of(np.eye(8), list("abcdefgh"))},
            "omit the cohort or the second set",
        ),
        (
            ({"vectors": vectors, "identity": names, "camera": names},),
            {"against": (vectors, names), "exclude": ["camera"]},
            "unknown column 'camera'",
        ),
    ]
    for arrays, options, message in cases:
        with pytest.raises(EvaluationError, match=message) as caught:
            verification(*arrays, **options)
        assert "\n" not in str(caught.value)


def test_evaluation_imports_neither_torch_nor_faiss():
    import subprocess
    import sys

    code = (
        "import sys, numpy as np; from facever.evaluate import verification; "
        "verification(np.eye(4)[[0, 0, 1, 1]], [0, 0, 1, 1], far=[.25]); "
        "print('torch' in sys.modules, 'faiss' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


def test_columns_of_two_sets_exclude_whatever_type_each_has(make_faces):
    vectors, names = make_faces(80, people=8)
    camera = np.arange(80) % 4 + 1
    one, two = slice(40), slice(40, None)

    def trials(first, second):
        sides = [
            {"vectors": vectors[part], "identity": names[part], "camera": camera}
            for part, camera in ((one, first), (two, second))
        ]
        return verification(sides[0], far=[0.1], exclude=["camera"], against=sides[1]).trials

    i, j = np.meshgrid(np.arange(40), np.arange(40, 80), indexing="ij")
    kept = camera[i] != camera[j]
    wanted = [
        int((kept & (names[i] == names[j])).sum()),
        int((kept & (names[i] != names[j])).sum()),
    ]
    mixed = camera[two].astype(object)
    mixed[3] = "entrance"
    kept[:, 3] = True
    entrance = int((kept & (names[i] == names[j])).sum())
    assert [trials(camera[one], camera[two]).genuine, wanted[0]] == [wanted[0]] * 2
    for first in (camera[one], camera[one].astype(float), camera[one].astype(str).tolist()):
        assert trials(first, camera[two].astype(float)).genuine == wanted[0]
        assert trials(first, camera[two].astype(str)).impostor == wanted[1]
        assert trials(first, mixed).genuine == trials(first, mixed.tolist()).genuine == entrance


def test_groups_of_two_sets_are_compared_as_text(make_faces):
    vectors, names = make_faces(80, people=8)
    group = np.arange(80) % 2
    one, two = slice(40), slice(40, None)
    found = [
        verification(
            {"vectors": vectors[one], "identity": names[one], "g": group[one]},
            far=[0.1],
            groups=["g"],
            against={"vectors": vectors[two], "identity": names[two], "g": second},
        ).groups["g"]
        for second in (group[two], group[two].astype(float), group[two].astype(str))
    ]
    assert found[0] == found[1] == found[2]
    assert [(rate.first, rate.second) for rate in found[0]][:2] == [("0", "0"), ("0", "1")]


def test_columns_that_exclude_every_genuine_trial_are_named(make_faces):
    vectors, names = make_faces(40, people=8)
    i, j = np.triu_indices(40, 1)
    genuine = int((names[i] == names[j]).sum())
    with pytest.raises(EvaluationError, match=rf"no genuine trials: all {genuine} agree .*\(who\)"):
        columns = {"vectors": vectors, "identity": names, "who": names}
        verification(columns, exclude=["who"])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_far_is_kept_by_other_sums_of_the_same_pairs(make_faces, kind):
    vectors, names = make_faces(120, people=20, dimension=96)
    i, j = np.triu_indices(120, 1)
    result = verification(vectors, names, far=[0.1, 0.01, 0.001])
    scores = (vectors.astype(kind) @ vectors.astype(kind).T)[i, j]
    for point in result.operating_points:
        passed = (scores > point.threshold)[names[i] != names[j]].sum()
        assert passed == point.false_accepts <= point.far_target * point.trials.impostor


def test_an_auc_below_a_half_is_warned_of(make_faces):
    assert verification(*make_faces(60)).warnings == []
    # each person's two images are opposite to each other and like one of the other person's
    rows = np.array([[1, 0], [-1, 0], [1, 0.1], [-1, 0.1]])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    result = verification(rows, list("aabb"), far=[0.3])
    assert result.auc.value == 0.25
    (warning,) = result.warnings
    assert "identities" in warning
    assert "--distances" not in warning  # these are no scores of another system
    assert "below 0.5" in result.to_text()


def test_columns_that_two_sets_spell_in_two_ways_are_doubted(make_faces, capsys):
    vectors, names = make_faces(12, people=3)
    for cameras, doubted in ((["1", "2", "3"], True), (["1", "2", "03"], False)):
        sides = [
            {"vectors": vectors, "identity": names, "camera": column * 4}
            for column in (["01", "02", "03"], cameras)
        ]
        verification(sides[0], far=[0.5], exclude=["camera"], against=sides[1])
        said = capsys.readouterr().err
        assert ("excluding by camera" in said and "use the same values in both" in said) == doubted
