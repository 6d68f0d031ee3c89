"""Trackers: MLflow's local store, read back by MLflow itself, and what a tracker receives."""

from pathlib import Path

import pytest

from facever.core.run_folder import RunFolder, read_metrics
from facever.errors import MissingPackageError, TrainingError
from facever.training.run import MetricsLog
from facever.training.tracking import MlflowTracker, open_trackers
from facever.training.train import train

CLOSED = "FINISHED"


class Kept:
    """A tracker of one's own."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int, dict[str, float]]] = []
        self.closed = False

    def log(self, kind: str, step: int, values: dict[str, float]) -> None:
        self.lines.append((kind, step, dict(values)))

    def close(self) -> None:
        self.closed = True


def test_a_tracker_receives_the_numbers_of_each_line(tmp_path: Path) -> None:
    kept = Kept()
    log = MetricsLog(tmp_path / "metrics.jsonl", [kept])
    log.write("train", 1, {"loss": 0.5, "eer": None, "weights": "raw", "epoch": 2})
    log.write("alarm", 1, {"alarm": "collapse", "message": "..."})
    log.close()
    assert kept.lines == [("train", 1, {"loss": 0.5, "epoch": 2})]
    assert kept.closed
    assert [line["kind"] for line in read_metrics(tmp_path / "metrics.jsonl")] == ["train", "alarm"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    pytest.importorskip("mlflow")
    return tmp_path / "mlruns"


def client(store: Path):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=store.absolute().as_uri())


def runs(store: Path) -> list:
    experiment = client(store).get_experiment_by_name("facever")
    return client(store).search_runs([experiment.experiment_id])


def test_mlflow_has_the_log_of_a_training(make_config, tmp_path: Path, store: Path) -> None:
    config = make_config(epochs=2, mlflow=str(store))
    run = train(config, tmp_path / "one")
    [found] = runs(store)
    assert found.info.status == CLOSED
    assert found.info.run_name == "one"
    assert found.data.params["heads.0.name"] == "cosface"
    assert found.data.params["batch.size"] == "8"
    lines = read_metrics(run.metrics)
    history = client(store).get_metric_history(found.info.run_id, "train/loss")
    expected = [(one["step"], one["loss"]) for one in lines if one["kind"] == "train"]
    assert [(one.step, one.value) for one in history] == expected
    assert found.data.metrics["development/auc"] == lines[-1]["auc"]


def test_a_resumed_training_continues_its_run(make_config, tmp_path: Path, store: Path) -> None:
    run = train(make_config(epochs=1, mlflow=str(store)), tmp_path / "one")
    train(resume=run.path, epochs=2)
    [found] = runs(store)
    assert found.info.status == CLOSED
    last = read_metrics(run.metrics)[-1]
    steps = client(store).get_metric_history(found.info.run_id, "development/auc")
    assert steps[-1].step == last["step"]
    other = RunFolder(tmp_path / "one")
    other.mlflow = tmp_path / "other.json"
    MlflowTracker(str(store), other, make_config()).close()
    assert len(runs(store)) == 2


def test_nothing_is_sent_and_no_folder_is_made_by_default(make_config, tmp_path: Path) -> None:
    assert open_trackers(make_config(), RunFolder(tmp_path / "run")) == []
    assert make_config().mlflow is None
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_used_is_one_line(
    make_config, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    with pytest.raises(TrainingError, match="nosuch://x") as refused:
        MlflowTracker("nosuch://x", RunFolder(tmp_path / "run"), make_config())
    assert "\n" not in str(refused.value)


def test_without_mlflow_the_extra_is_named(make_config, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(MissingPackageError, match=r"facever\[mlflow\]"):
        MlflowTracker(str(tmp_path), RunFolder(tmp_path / "run"), make_config())
