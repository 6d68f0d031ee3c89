"""Prototypes out of a checkpoint: similarities, order, agreement with another matrix."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from facever.config import dump, parse
from facever.errors import DataError, EvaluationError, ModelError, TrainingError
from facever.evaluation.statistics.mantel import mantel
from facever.studies.figures.prototypes import (
    cluster_order,
    prototype_structure,
    read_matrix,
    read_prototypes,
    similarities,
)
from facever.training.config import TrainConfig
from facever.training.run import Run
from facever.training.saving.checkpoint import save_checkpoint
from facever.training.saving.pieces import save_pieces

NAMES = [f"p{k}" for k in range(6)]
IMAGES = [3, 9, 5, 7, 2, 8]


def make_run(path: Path, heads: list[dict[str, object]], weights: dict[str, np.ndarray]) -> Path:
    run = Run.create(path)
    dump(parse(TrainConfig, {"data": {"root": "x"}, "heads": heads}), run.config)
    state = {f"parts.{name}": torch.tensor(value) for name, value in weights.items()}
    save_checkpoint(run.last, {"step": {"heads": state}})
    people = {"identity": NAMES, "dataset": "d", "images": IMAGES, "use": "train"}
    others = {"identity": ["q"], "dataset": "d", "images": [4], "use": "development"}
    pd.concat([pd.DataFrame(others), pd.DataFrame(people)[::-1]]).to_parquet(run.identities)
    return path


@pytest.fixture
def weight() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


@pytest.fixture
def run(tmp_path: Path, weight: np.ndarray) -> Path:
    heads = [{"name": "center"}, {"name": "cosface"}]
    return make_run(tmp_path / "run", heads, {"cosface.prototypes.weight": weight})


def test_the_first_head_with_prototypes_is_read(run: Path, weight: np.ndarray) -> None:
    found = read_prototypes(run)
    assert found is not None
    assert (found.head, found.metric, found.identities) == ("cosface", "cosine", NAMES)
    assert found.images.tolist() == IMAGES
    assert np.array_equal(found.weight, weight)


def test_prototypes_in_shards_are_put_together(run: Path, weight: np.ndarray) -> None:
    place = "heads/parts.cosface.prototypes.weight"
    folder = run / "checkpoints"
    state = {"heads": {place.partition("/")[2]: torch.from_numpy(weight)}}
    pieces = save_pieces(folder, 7, state, {place: 6})
    save_checkpoint(folder / "last.pt", {"step": state, "pieces": pieces})
    found = read_prototypes(run)
    assert found is not None
    assert np.array_equal(found.weight, weight)
    shutil.rmtree(folder / pieces["folder"])
    with pytest.raises(TrainingError, match=r"a file of .*last-7-1 is missing or damaged"):
        read_prototypes(run)


def test_the_best_known_identities(run: Path, weight: np.ndarray) -> None:
    found = prototype_structure(run, identities=3)
    assert sorted(found.identities) == ["p1", "p3", "p5"]
    assert found.of == 6
    place = [NAMES.index(name) for name in found.identities]
    unit = weight / np.linalg.norm(weight, axis=1, keepdims=True)
    assert found.similarities == pytest.approx(unit[place] @ unit[place].T, abs=1e-6)


def test_closest_pairs(run: Path, weight: np.ndarray) -> None:
    unit = weight / np.linalg.norm(weight, axis=1, keepdims=True)
    values = unit @ unit.T
    best = max((values[i, j], i, j) for i in range(6) for j in range(i))
    closest = prototype_structure(run).closest()
    assert {closest[0][0], closest[0][1]} == {NAMES[best[1]], NAMES[best[2]]}
    assert closest[0][2] == pytest.approx(best[0], abs=1e-6)
    assert len(closest) == 10


def test_agreement_is_by_names(run: Path, tmp_path: Path) -> None:
    own = prototype_structure(run)
    frame = pd.DataFrame(own.similarities, own.identities, own.identities)
    mixed = ["p3", "p0", "p5", "p1", "p4", "p2"]
    frame.loc[mixed, mixed[::-1]].to_csv(tmp_path / "own.csv")
    found = prototype_structure(run, matrix=tmp_path / "own.csv", permutations=99).agreement
    assert found is not None
    assert found.correlation == pytest.approx(1)
    part = mixed[:5]
    other = np.random.default_rng(1).normal(size=(5, 5))
    pd.DataFrame(other + other.T, part, part).to_csv(tmp_path / "part.csv")
    structure = prototype_structure(run, matrix=tmp_path / "part.csv", permutations=99, seed=4)
    place = [part.index(name) for name in structure.identities]
    assert structure.agreement == mantel(
        structure.similarities, (other + other.T)[np.ix_(place, place)], 99, 4
    )
    assert "Spearman correlation" in structure.to_text()


def test_euclidean_prototypes_are_compared_by_distance(weight: np.ndarray) -> None:
    values, score = similarities(weight, "euclidean")
    expected = [[-np.linalg.norm(a - b) for b in weight.astype(float)] for a in weight]
    assert values == pytest.approx(np.array(expected), abs=1e-6)
    assert score == "minus distance"
    assert similarities(weight, "dot")[1] == "cosine"


def test_neighbours_in_the_order_are_alike() -> None:
    groups = np.array([0, 1, 0, 2, 1, 0, 2])
    values = (groups[:, None] == groups[None, :]).astype(float)
    order = cluster_order(values + 1e-3 * np.random.default_rng(0).random((7, 7)))
    changes = np.flatnonzero(np.diff(groups[order]))
    assert sorted(order) == list(range(7))
    assert len(changes) == 2
    assert cluster_order(values[:2, :2]) == [0, 1]


def test_heads_without_prototypes(tmp_path: Path) -> None:
    heads = [{"name": "hierarchical_softmax"}]
    run = make_run(tmp_path / "bare", heads, {"hierarchical_softmax.weight": np.zeros((6, 4))})
    assert read_prototypes(run) is None
    with pytest.raises(ModelError, match="have no prototypes"):
        prototype_structure(run)


def test_bad_input(run: Path, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="--identities 1: at least two"):
        prototype_structure(run, identities=1)
    table = tmp_path / "m.csv"
    for text, error, message in (
        (",x,y\nx,1,0\ny,0,1\n", EvaluationError, "names 0 identities of"),
        (",p0,p1\np0,1,a\np1,0,1\n", DataError, "column 'p1' must hold numbers; row 1 holds 'a'"),
        (",p0,p1\np0,1,0\np0,0,1\n", DataError, "has the name p0 twice"),
        (
            ",p0,p1\np0,1,0\np2,0,1\n",
            DataError,
            "p1 is the name of a row or of a column, not of both",
        ),
        ("", DataError, "is empty"),
        (",p0,p1\np0,1,0,5\np1,0,1\n", DataError, "line 2: 4 fields; the header has 3"),
    ):
        table.write_text(text)
        with pytest.raises(error, match=message):
            prototype_structure(run, matrix=table)
    with pytest.raises(DataError, match="no similarity matrix at nowhere"):
        read_matrix(Path("nowhere"))
    pd.DataFrame({"identity": NAMES[:4], "images": 1, "use": "train"}).to_parquet(
        run / "identities.parquet"
    )
    with pytest.raises(DataError, match="has 6 prototypes, but its list has 4 identities"):
        read_prototypes(run)
