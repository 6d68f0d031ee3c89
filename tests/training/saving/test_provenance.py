"""A run of before names were canonical goes on with the names, and classes, it was trained on."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from facever.data import manifest as manifests
from facever.data.manifest import Manifest
from facever.errors import TrainingError
from facever.models.saving import load_embedder
from facever.training.interruption import Interrupted
from facever.training.saving.checkpoint import load_checkpoint
from facever.training.saving.provenance import names_as_trained
from facever.training.train import train
from facever.training.trainer import Trainer

COMPOSED, DECOMPOSED = "Jos\u00e9", "Jose\u0301"
SPELLED = {
    "person_00": COMPOSED,
    "person_01": DECOMPOSED,
    "person_09": " person_09",  # sorts first as it is spelled, last as it is kept
}


@pytest.fixture
def spelled(people: Path, tmp_path: Path) -> Path:
    """The people in a table, two of them under one name and one with a space before it."""
    frame = Manifest.from_folder(people).frame.copy()
    frame["identity"] = frame["identity"].replace(SPELLED)
    frame["path"] = [str(people / path) for path in frame["path"]]
    frame.to_csv(tmp_path / "people.csv", index=False)
    return tmp_path / "people.csv"


def test_an_old_run_resumes_with_its_classes(
    make_config, spelled: Path, tmp_path: Path, interrupt_before, assert_same,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    data = {"root": str(spelled), "development_share": 0.3}
    config = make_config(data=data, epochs=2)
    with monkeypatch.context() as before:  # what a version without canonical names did
        before.setattr(manifests, "canonical_column", lambda names: names)
        before.setattr(manifests, "canonical", lambda name: name)
        whole = train(config, tmp_path / "whole")
        old = Trainer.start(config, tmp_path / "run")
        interrupt_before(old, 2)
        with pytest.raises(Interrupted):
            old.fit()
    names = pd.read_parquet(old.run.identities)["identity"].tolist()
    assert {*SPELLED.values()} <= set(names)
    resumed = Trainer.resume(tmp_path / "run")
    assert resumed.train_manifest.identities == old.train_manifest.identities
    done = resumed.fit()
    one, other = load_checkpoint(done.last), load_checkpoint(whole.last)
    assert one.pop("seconds") > 0
    assert other.pop("seconds") > 0
    assert_same(one, other)
    assert set(load_embedder(done.path)[1].trained_on["identity"]) >= {COMPOSED, "person_09"}


def test_a_new_run_has_canonical_names(
    make_config, spelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"root": str(spelled), "development_share": 0.3}
    trainer = Trainer.start(make_config(data=data), tmp_path / "run")
    names = pd.read_parquet(trainer.run.identities)["identity"].tolist()
    assert {COMPOSED, "person_09"} <= set(names)
    assert not {DECOMPOSED, " person_09"} & set(names)
    assert "1 names differ from another one only in encoding" in capsys.readouterr().err
    made = Manifest.from_csv(spelled)
    assert names_as_trained(made, trainer.run.identities) is made


def test_a_damaged_list_of_people_is_one_line(spelled: Path, tmp_path: Path) -> None:
    made = Manifest.from_csv(spelled)
    assert names_as_trained(made, tmp_path / "identities.parquet") is made
    shutil.copy(spelled, tmp_path / "identities.parquet")
    with pytest.raises(TrainingError, match=r"identities.parquet is damaged"):
        names_as_trained(made, tmp_path / "identities.parquet")
