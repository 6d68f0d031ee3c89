"""The whole way in one call, on generated faces."""

import json
from pathlib import Path

import pandas as pd
import pytest

from facever.data.manifest import Manifest
from facever.data.synthesize import synthesize
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import ConfigError, DataError
from facever.gallery.gallery import Gallery
from facever.quickstart.quickstart import divide, quickstart


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    synthesize(root, 32, 4)
    return root


@pytest.mark.slow
def test_the_whole_way(faces: Path, tmp_path: Path) -> None:
    done = quickstart(tmp_path / "out", minutes=0.01, data=faces)
    reached = dict(done.describe()[0].blocks[0].rows)
    parts = Manifest.from_csv(tmp_path / "out" / "faces.csv").frame
    people = {name: set(group["identity"]) for name, group in parts.groupby("subset")}
    assert not people["train"] & people["test"]
    assert not people["train"] & people["development"]

    embeddings = EmbeddingSet.load(done.embeddings)
    assert set(embeddings.identities) == people["test"]
    with Gallery.open(done.gallery) as gallery:
        info = gallery.info()
        assert info.people == len(people["test"])
        assert info.fingerprint == embeddings.meta.fingerprint
        answer = gallery.search(embeddings.select([0]), k=1)[0]
        assert answer.candidates[0].person == embeddings.identities[0]  # the enrolled image itself

    measured = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert measured["overlap"]["identities"] == 0
    assert reached["AUC"] == f"{measured['auc']:.4f}"
    assert float(reached["AUC"]) > 0.5
    values = json.loads(json.dumps(done.to_dict(), allow_nan=False))
    assert values["verification"] == measured
    search = values["search"]
    assert search["people"] == info.people
    assert 0 <= search["right_first"] <= search["mated"] == len(embeddings) - info.people
    assert search["operating_point"] is search["missed"] is None  # five development people
    assert "too few for a FPIR of 0.1" in search["no_decision_because"]
    for name in ("genuine", "impostor"):
        answer = values["verify"][name]
        assert reached[f"verify: a{'n' * (name == 'impostor')} {name} pair"].startswith(
            f"{answer['score']:.3f} -> "
        )
        assert answer["same"] in (True, False)
    assert values["seconds"] > 0
    report = done.report.read_text(encoding="utf-8")
    assert "Examples" in report
    assert "http://" not in report.replace("http://www.w3.org", "")
    assert all(command.startswith("facever ") for command in done.commands)
    assert len(done.commands) == 3


def test_bad_input(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="more than 0"):
        quickstart(tmp_path / "out", minutes=0, data=faces)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "x").write_text("mine")
    with pytest.raises(ConfigError, match="not an empty folder"):
        quickstart(tmp_path / "taken", data=faces)
    few = tmp_path / "few"
    synthesize(few, 3, 2, size=32)
    with pytest.raises(DataError, match="8 are needed"):
        quickstart(tmp_path / "out", data=few)
    assert not (tmp_path / "out").exists()


def test_divide_keeps_at_most_five_images_outside_training(tmp_path: Path) -> None:
    rows = [(f"p{i}/{k}.jpg", f"p{i}") for i in range(20) for k in range(9)]
    frame = pd.DataFrame(rows, columns=["path", "identity"])
    parts = divide(Manifest.from_frame(frame, tmp_path, "x")).frame
    counts = parts.groupby(["subset", "identity"]).size()
    assert set(counts["train"]) == {9}
    assert set(counts["test"]) == {5}
    assert set(counts["development"]) == {5}
    assert parts.groupby("identity")["subset"].nunique().max() == 1


def test_divide_takes_the_view_that_lfw_brings(tmp_path: Path) -> None:
    subsets = ["train"] * 10 + ["held_out"] * 4 + ["test"] * 4 + ["none"] * 2
    rows = [(f"p{i}/0.jpg", f"p{i}", subset) for i, subset in enumerate(subsets)]
    frame = pd.DataFrame(rows, columns=["path", "identity", "subset"])
    parts = divide(Manifest.from_frame(frame, tmp_path, "lfw")).frame
    assert parts["subset"].value_counts().to_dict() == {"train": 10, "development": 4, "test": 4}
