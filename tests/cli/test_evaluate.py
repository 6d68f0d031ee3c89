import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from facever.cli.evaluate import app
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import DataError, EvaluationError
from facever.evaluation.score_calibration import ScoreCalibration
from facever.operating_point import OperatingPoint


@pytest.fixture
def embeddings(tmp_path):
    rng = np.random.default_rng(0)
    names = np.repeat([f"p{i}" for i in range(20)], 6)
    vectors = np.repeat(rng.standard_normal((20, 8)), 6, axis=0) + rng.standard_normal((120, 8))
    subset = np.where(np.arange(120) < 60, "train", "test")
    part = np.where(np.arange(120) % 2, "one", "two")
    columns = {"subset": subset, "part": part, "camera": np.arange(120) % 3}
    EmbeddingSet.from_arrays(vectors, names, **columns).save(tmp_path / "faces")
    return tmp_path / "faces"


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def test_json_is_the_result_on_standard_output(embeddings):
    result = run("verification", embeddings, "--far", "1e-2", "1e-3", "--json")
    values = json.loads(result.stdout)
    assert [point["far_target"] for point in values["operating_points"]] == [1e-2, 1e-3]
    assert values["trials"] == {"genuine": 300, "impostor": 6840}


def test_text_shows_the_table_and_what_is_refused(embeddings):
    result = run("verification", embeddings, "--where", "subset=test")
    assert result.exit_code == 0
    assert "150 genuine, 1,620 impostor" in result.stdout
    assert "FAR 1e-4 is refused: it needs 10,000 impostor trials" in result.stdout
    assert "identity bootstrap" in result.stdout


def test_an_operating_point_is_saved_at_its_far(embeddings, tmp_path):
    path = tmp_path / "point.json"
    result = run(
        "verification", embeddings, "--save-operating-point", path, "--at-far", "0.02", "--json"
    )
    point = OperatingPoint.load(path)
    measured = json.loads(result.stdout)["operating_points"]
    assert point.target_rate == 0.02
    assert point.threshold in [p["threshold"] for p in measured if p["far_target"] == 0.02]
    assert str(path) in result.stderr


def test_two_sets_groups_and_device(embeddings):
    words = ["verification", embeddings, "--where", "subset=train", "--against", embeddings]
    words += ["--far", "0.1", "--group", "subset", "--group-far", "0.05", "--device", "cpu"]
    with pytest.raises(EvaluationError, match="no genuine trials"):
        run(*words, "--against-where", "subset=test")
    result = run(*words, "--against-where", "subset=train", "--json")
    values = json.loads(result.stdout)
    assert values["protocol"] == "probe-gallery"
    assert values["trials"] == {"genuine": 360, "impostor": 3240}
    assert values["groups_at"]["far_target"] == 0.05
    assert [rate["groups"] for rate in values["groups"]["subset"]] == [["train", "train"]]
    with pytest.raises(EvaluationError, match="--against-where requires --against"):
        run("verification", embeddings, "--against-where", "subset=test")
    with pytest.raises(EvaluationError, match="unknown device 'gpu'"):
        run("verification", embeddings, "--device", "gpu")


def test_warnings_go_to_standard_error(embeddings):
    result = run("verification", embeddings, "--similarity", "dot", "--json")
    assert "warning: scores are dot" in result.stderr
    assert json.loads(result.stdout)["similarity"] == "dot"


def test_wrong_use_raises_one_line(embeddings, tmp_path):
    cases = [
        (["verification", tmp_path / "none"], DataError, "no embedding set at"),
        (["verification", embeddings, "--at-far", "0.1"], EvaluationError, "require each other"),
        (["verification", embeddings, "--protocol", "lfw"], EvaluationError, "unknown protocol"),
        (["verification", embeddings, "--pairs", tmp_path / "no.csv"], DataError, "no"),
        (["verification", embeddings, "--far", "2"], EvaluationError, "not between 0 and 1"),
    ]
    for words, kind, message in cases:
        with pytest.raises(kind, match=message) as caught:
            run(*words)
        assert "\n" not in str(caught.value)


def test_rates_that_the_trials_cannot_support_are_refused(embeddings, tmp_path):
    label = np.arange(40) % 2
    np.savez(tmp_path / "scores.npz", score=np.arange(40.0), label=label)
    EmbeddingSet.load(embeddings).select(np.arange(60)).save(tmp_path / "gallery")
    cases = [
        (
            ["verification", embeddings, "--far", "1e-9", "1e-6"],
            "a FAR of 1e-06 needs 1,000,000 impostor trials; there are 6,840",
        ),
        (
            ["scores", tmp_path / "scores.npz", "--far", "1e-2"],
            "a FAR of 0.01 needs 100 impostor trials; there are 20",
        ),
        (
            ["compare", embeddings, embeddings, "--far", "1e-6"],
            "nothing to compare: FAR 1e-06 needs 1,000,000 impostor trials, there are 6,840",
        ),
        (
            ["identification", embeddings, tmp_path / "gallery", "--fpir", "1e-3"],
            "a FPIR of 0.001 needs 1,000 non-mated probes; there are 60",
        ),
        (
            ["identification", embeddings, tmp_path / "gallery", "--fpir", "0"],
            "a FPIR of 0.0 is not between 0 and 1, such as 1e-3",
        ),
        (
            ["compare", embeddings, embeddings, "--camera", "camera"],
            "--queries, --gallery and --camera require --retrieval",
        ),
        (
            ["compare", embeddings, embeddings, "--retrieval", "--far", "1e-2"],
            "--retrieval accepts only --where, --queries, --gallery and --camera: omit the "
            "other options",
        ),
    ]
    for words, message in cases:
        with pytest.raises(EvaluationError) as raised:
            run(*words)
        assert str(raised.value) == message
    assert run("verification", embeddings, "--far", "1e-9", "1e-2").exit_code == 0


def test_a_damaged_folder_is_named(embeddings):
    (embeddings / "vectors.npy").write_bytes(b"")
    with pytest.raises(DataError, match="is damaged"):
        run("verification", embeddings)


def test_scores_of_a_file(tmp_path):
    rng = np.random.default_rng(0)
    label = np.arange(400) % 4 == 0
    path = tmp_path / "scores.npz"
    np.savez(path, score=rng.standard_normal(400) + 2 * label, label=label.astype(int))
    result = run("scores", path, "--far", "0.1", "0.02", "--json")
    values = json.loads(result.stdout)
    assert [point["far_target"] for point in values["operating_points"]] == [0.1, 0.02]
    assert "names no identities" in result.stderr


def test_retrieval_identification_and_comparison(embeddings, tmp_path):
    options = ("--queries", "part=one", "--gallery", "part=two")
    values = json.loads(run("retrieval", embeddings, *options, "--json").stdout)
    assert values["queries"] == 60
    assert "mINP" in run("retrieval", embeddings, *options).stdout
    words = ("compare", embeddings, embeddings, "--retrieval", *options, "--camera", "camera")
    values = json.loads(run(*words, "--json").stdout)
    assert values["cross_camera"]
    assert not values["measures"]["rank 1"]["resolved"]
    assert "map_trapezoid" in run(*words, "--where", "subset=test").stdout
    values = json.loads(run("compare", embeddings, embeddings, "--far", "1e-2", "--json").stdout)
    assert values["operating_points"][0]["resolved"] is False
    whole = EmbeddingSet.load(embeddings)
    whole.select(np.arange(60)).save(tmp_path / "gallery")
    point = tmp_path / "point.json"
    words = ("identification", embeddings, tmp_path / "gallery", "--fpir", "0.1")
    values = json.loads(run(*words, "--save-operating-point", point, "--json").stdout)
    assert values["gallery_size"] == 10
    assert OperatingPoint.load(point).kind == "1:N"


def test_calibration(embeddings):
    values = json.loads(run("calibration", embeddings, "--method", "isotonic", "--json").stdout)
    assert values["cllr_min"] <= values["cllr"]
    assert "Cllr" in run("calibration", embeddings).stdout


def test_a_calibration_is_saved_with_the_prior_that_was_named(embeddings, tmp_path):
    path = tmp_path / "calibration.json"
    words = ("calibration", embeddings, "--method", "isotonic", "--save-calibration", path)
    values = json.loads(run(*words, "--prior", "0.25", "--json").stdout)
    stored = ScoreCalibration.load(path)
    assert (stored.prior, stored.fingerprint) == (0.25, values["fingerprint"])
    assert stored.scores[0] == values["scores"][0]
    path.unlink()
    with pytest.raises(EvaluationError) as raised:
        run(*words)
    assert str(raised.value) == (
        "--save-calibration needs --prior: in operation, the share of genuine trials (1:1), or "
        "of searches whose first candidate is correct (1:N)"
    )
    assert not path.exists()


def test_repeated_conditions_and_distances_on_the_command_line(embeddings, tmp_path):
    both = run("verification", embeddings, "--where", "subset=train", "--where", "subset=test")
    assert both.stdout == run("verification", embeddings).stdout
    one = run("verification", embeddings, "--where", "camera=0", "--where", "camera=2", "--json")
    trials = json.loads(one.stdout)["trials"]
    assert sum(trials.values()) == 80 * 79 // 2
    ranked = ["retrieval", embeddings, "--queries", "camera=0", "--gallery", "camera=1"]
    found = json.loads(run(*ranked, "--gallery", "camera=2", "--json").stdout)
    assert (found["queries"], found["gallery"]) == (40, 80)
    table = pd.DataFrame({"score": [0.1, 0.2, 0.9, 0.8] * 5, "label": [1, 1, 0, 0] * 5})
    table.to_csv(tmp_path / "distances.csv", index=False)
    wrong = run("scores", tmp_path / "distances.csv", "--far", "0.2")
    assert "--distances" in wrong.stderr
    assert "below 0.5" in wrong.stdout
    right = run("scores", tmp_path / "distances.csv", "--far", "0.2", "--distances", "--json")
    assert json.loads(right.stdout)["auc"] == 1
    assert json.loads(right.stdout)["distances"] is True
    with pytest.raises(EvaluationError, match="--distances applies to a file of scores"):
        run("calibration", embeddings, "--distances")
