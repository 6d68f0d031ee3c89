import numpy as np
import pandas as pd
import pytest

from facever.errors import DataError, EvaluationError
from facever.evaluate import calibrate_scores, scores, verification


@pytest.fixture
def frame(make_faces):
    vectors, names = make_faces(50, people=8)
    i, j = np.triu_indices(50, 1)
    made = (vectors[i].astype(float) * vectors[j]).sum(axis=1).astype(np.float32)
    return pd.DataFrame(
        {
            "score": made,
            "label": (names[i] == names[j]).astype(int),
            "identity_a": names[i],
            "identity_b": names[j],
        }
    )


def write(frame, path):
    if path.suffix == ".npz":
        columns = {name: frame[name].to_numpy() for name in frame}
        np.savez(path, **{k: v.astype(str) if v.dtype == object else v for k, v in columns.items()})
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_scores_of_any_file_measure_as_the_embeddings_did(frame, make_faces, tmp_path, suffix):
    result = scores(write(frame, tmp_path / f"scores{suffix}"), far=[0.01, 1e-6])
    whole = verification(*make_faces(50, people=8), far=[0.01])
    one, two = result.at(0.01), whole.at(0.01)
    assert (one.false_accepts, one.true_accepts) == (two.false_accepts, two.true_accepts)
    assert one.threshold == pytest.approx(two.threshold, abs=1e-6)
    assert one.far_interval == two.far_interval
    assert one.interval == two.interval
    assert result.auc_interval == whole.auc_interval
    assert result.refused[0].needs == 1_000_000
    assert (result.similarity, result.warnings) == (None, [])
    with pytest.raises(EvaluationError, match="give no operating point"):
        result.operating_point(0.01)


def test_without_identities_the_intervals_are_called_too_narrow(frame, tmp_path):
    path = write(frame[["score", "label"]], tmp_path / "scores.csv")
    result = scores(path, far=[0.01])
    assert "names no identities" in result.warnings[0]
    assert result.at(0.01).interval.method == "clopper-pearson"
    assert "too narrow" in result.at(0.01).interval.note


def test_labels_may_be_words(frame, tmp_path):
    words = frame.assign(label=frame["label"].astype(bool))
    path = write(words[["score", "label"]], tmp_path / "scores.csv")
    assert scores(path, far=[0.01]).trials.genuine == frame["label"].sum()


def test_bad_files_are_one_clear_line(frame, tmp_path):
    contradicting = frame.assign(label=1 - frame["label"])
    without = frame.assign(identity_a=frame["identity_a"].where(frame.index != 3))
    cases = [
        (frame.drop(columns="label"), "has no column label"),
        (frame.assign(label=2), "'label' is '2'"),
        (frame.assign(score="high"), "'score' must hold numbers; row 1 holds 'high'"),
        (frame.assign(score=np.nan), "scores are not finite"),
        (frame[frame["label"] == 1], "no impostor trials"),
        (frame[frame["label"] == 0], "no genuine trials"),
        (frame.iloc[:0], "holds no trials"),
        (frame.drop(columns="identity_b"), "has the column identity_a but not the other"),
        (contradicting, "the label of trial 0 contradicts its identities"),
        (without, "an identity of trial 3 is missing"),
    ]
    for table, message in cases:
        with pytest.raises((EvaluationError, DataError), match=message):
            scores(write(table, tmp_path / "scores.parquet"))
    (tmp_path / "scores.CSV").write_text("score,label\n0.3,0.7,1\n0.2,0.1,0\n")
    with pytest.raises(DataError, match=r"scores\.CSV, line 2: 3 fields; the header has 2"):
        scores(str(tmp_path / "scores.CSV"))
    for suffix, kind in ((".csv", DataError), (".parquet", DataError), (".npz", EvaluationError)):
        with pytest.raises(kind, match="'score'"):
            scores(write(frame.assign(score="high"), tmp_path / f"bad{suffix}"))
    (tmp_path / "text.npz").write_text("no")
    for name, message in (("text.npz", "is not an npz"), ("none.npz", "no scores at")):
        with pytest.raises(EvaluationError, match=message):
            scores(tmp_path / name)


def test_distances_are_turned_round_and_said(frame, tmp_path):
    path = write(frame, tmp_path / "scores.parquet")
    turned = write(frame.assign(score=2 - 2 * frame["score"]), tmp_path / "distances.parquet")
    right = scores(path, far=[0.01])
    wrong = scores(turned, far=[0.01])
    assert wrong.auc.value < 0.2
    (warning,) = wrong.warnings
    assert "--distances" in warning
    assert warning in wrong.to_dict()["warnings"]
    assert "below 0.5" in wrong.to_text()
    found = scores(turned, far=[0.01], distances=True)
    assert found.warnings == right.warnings == []
    assert found.auc.value == pytest.approx(right.auc.value, abs=1e-6)
    assert found.at(0.01).true_accepts == right.at(0.01).true_accepts
    assert found.at(0.01).threshold == pytest.approx(2 * right.at(0.01).threshold - 2, abs=1e-6)
    assert found.to_dict()["distances"] is True
    assert right.to_dict()["distances"] is False
    assert "negated distances" in found.to_text()


@pytest.mark.parametrize("method", ["logistic", "isotonic"])
def test_a_calibration_of_distances_names_the_option(frame, tmp_path, method):
    path = write(frame.assign(score=2 - 2 * frame["score"]), tmp_path / "distances.csv")
    if method == "logistic":
        with pytest.raises(EvaluationError, match="--distances"):
            calibrate_scores(path, method=method)
    else:
        assert "--distances" in calibrate_scores(path, method=method).warnings[0]
    found = calibrate_scores(path, method=method, distances=True)
    assert (found.distances, found.warnings) == (True, [])
    assert found.to_dict()["distances"] is True
    assert found.cllr < 1


def test_identities_of_scores_are_one_however_they_are_spelled(frame, tmp_path):
    spelled = frame.assign(
        identity_a=[f"{name}\u00e9" for name in frame["identity_a"]],
        identity_b=[f" {name}e\u0301" for name in frame["identity_b"]],
    )
    plain = scores(write(frame, tmp_path / "a.parquet"), far=[0.01])
    found = scores(write(spelled, tmp_path / "b.parquet"), far=[0.01])
    assert found.to_dict() == plain.to_dict()
