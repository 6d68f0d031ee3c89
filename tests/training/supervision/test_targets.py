"""Distillation, attributes and reconstruction in a whole training."""

import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from facever.config import load
from facever.core.run_folder import read_metrics
from facever.data.loading import Batch
from facever.data.manifest import Manifest
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import ConfigError, DataError, ModelError, TrainingError
from facever.models.attributes import AttributeClassifier
from facever.models.loading import load_model
from facever.training.config import TrainConfig, require_same
from facever.training.interruption import Interrupted
from facever.training.run import Run
from facever.training.saving.checkpoint import load_checkpoint
from facever.training.supervision.attributes import best_threshold
from facever.training.train import train
from facever.training.trainer import Trainer


@pytest.fixture(scope="session")
def labelled(people: Path) -> Path:
    """The people as a table with attributes: a hat for odd ones, hair of three colours, gaps."""
    frame = Manifest.from_folder(people).frame.copy()
    number = frame["identity"].str[-2:].astype(int)
    frame["path"] = [str(people / path) for path in frame["path"]]
    frame["hat"] = (number % 2).astype(float)
    frame["hair"] = [("red", "blond", "dark")[n % 3] for n in number]
    frame.loc[::7, "hat"] = None
    frame.loc[::6, "hair"] = None
    path = people.parent / "labelled.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def teacher(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch whose embeddings have 12 components."""
    from facever.config import parse

    values: dict[str, Any] = {
        "data": {"root": str(people), "development_share": 0},
        "model": {
            "backbone": "test_resnet",
            "embedding_size": 12,
            "preprocessing": {"size": [32, 32]},
        },
        "heads": [{"name": "softmax"}],
        "batch": {"size": 8},
        "epochs": 1,
        "device": "cpu",
        "workers": 0,
        "tensorboard": False,
    }
    return train(parse(TrainConfig, values), tmp_path_factory.mktemp("teacher") / "run").path


@pytest.fixture(scope="session")
def vectors(people: Path, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The teacher's embedding set of all people."""
    path = tmp_path_factory.mktemp("vectors") / "set"
    load_model(teacher).extract(Manifest.from_folder(people), path, workers=0)
    return path


def columns(labelled: Path) -> dict[str, Any]:
    return {"data": {"root": str(labelled), "development_share": 0.3}}


def first_batch(trainer: Trainer) -> Batch:
    return next(iter(trainer._groups()))[0]


def test_a_resume_is_bit_for_bit_with_all_of_them(
    make_config,
    labelled: Path,
    teacher: Path,
    tmp_path: Path,
    figures,
    assert_same,
    interrupt_before,
) -> None:
    config = make_config(
        **columns(labelled),
        heads=[
            {"name": "cosface", "scale": 16},
            {"name": "distillation", "teacher": str(teacher), "loss": "soft_targets"},
            {"name": "distillation", "teacher": str(teacher), "loss": "euclidean", "weight": 0.01},
            {"name": "attributes", "columns": ["hat", "hair"]},
            {
                "name": "reconstruction",
                "size": 8,
                "weight": {"start": 0.0, "end": 0.5, "epochs": 2, "shape": "cosine"},
            },
        ],
        epochs=3,
    )
    whole = train(config, tmp_path / "whole")
    trainer = Trainer.start(config, tmp_path / "parts")
    for stop in (2, 6):
        interrupt_before(trainer, stop, by=signal.SIGTERM)
        torch.manual_seed(99)
        with pytest.raises(Interrupted):
            trainer.fit()
        trainer = Trainer.resume(tmp_path / "parts")
    parts = trainer.fit()
    assert parts.model.read_bytes() == whole.model.read_bytes()
    assert figures(parts) == figures(whole)
    files = [run.path / "attributes.safetensors" for run in (parts, whole)]
    assert files[0].read_bytes() == files[1].read_bytes()
    one, other = load_checkpoint(parts.last), load_checkpoint(whole.last)
    del one["seconds"], other["seconds"]
    assert_same(one, other)
    weights = [
        line["reconstruction/weight"] for line in figures(whole) if "reconstruction/weight" in line
    ]
    assert weights[0] == 0
    assert weights == sorted(weights)
    assert 0.3 < weights[-1] <= 0.5

    saved = load(TrainConfig, whole.config)
    assert saved.heads[1].teacher_size == 12  # what came from the data is written down
    assert saved.heads[3].labels == ["hat", "hair=blond", "hair=dark", "hair=red"]
    require_same(config, saved, whole.path)
    require_same(saved, saved, whole.path)
    with pytest.raises(ConfigError, match="was trained with heads"):
        require_same(
            make_config(**columns(labelled), heads=[{"name": "softmax"}]), saved, whole.path
        )


def test_a_frozen_teacher_sees_the_batch(
    make_config, teacher: Path, tmp_path: Path, assert_same
) -> None:
    heads = [{"name": "distillation", "teacher": str(teacher)}]
    trainer = Trainer(make_config(heads=heads), Run(tmp_path / "run"))
    batch = first_batch(trainer)
    model = load_model(teacher).embedder
    with torch.no_grad():
        wanted = model(batch.images)
    found = trainer._targets.of(batch, batch.images, ["distillation"])["distillation"]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert not found.requires_grad
    before = {k: v.clone() for k, v in trainer._targets.teachers[0]._network.state_dict().items()}
    trainer.step.update([batch], 0)
    assert_same(dict(trainer._targets.teachers[0]._network.state_dict()), before)


@pytest.mark.parametrize("moved", [False, True])
def test_vectors_are_found_by_path_with_their_length(
    make_config, vectors: Path, tmp_path: Path, moved: bool
) -> None:
    taken = EmbeddingSet.load(vectors)
    order = np.random.default_rng(0).permutation(len(taken))
    shuffled = taken.select(order)
    if moved:  # the images lie elsewhere now: the relative path is what is left
        object.__setattr__(shuffled.meta, "root", str(tmp_path / "elsewhere"))
    shuffled.save(tmp_path / "shuffled")
    heads = [{"name": "distillation", "teacher": str(tmp_path / "shuffled")}]
    trainer = Trainer(make_config(heads=heads), Run(tmp_path / "run"))
    batch = first_batch(trainer)
    found = trainer._targets.of(batch, batch.images, ["distillation"])["distillation"].numpy()
    paths = taken.rows["path"].tolist()
    for index, vector in zip(batch.indices.tolist(), found, strict=True):
        row = paths.index(trainer.train_manifest.frame["path"][index])
        wanted = taken.vectors[row] * taken.rows["norm"][row]
        np.testing.assert_allclose(vector, wanted, rtol=1e-6)


def test_class_means_of_a_model_and_of_its_vectors(
    make_config, teacher: Path, vectors: Path, tmp_path: Path
) -> None:
    means = []
    for number, path in enumerate((teacher, vectors)):
        heads = [{"name": "distillation", "teacher": str(path), "loss": "soft_targets"}]
        trainer = Trainer.start(make_config(heads=heads), tmp_path / f"run-{number}")
        means.append(trainer.step.heads.heads[0].class_means)
    torch.testing.assert_close(means[0], means[1], rtol=1e-3, atol=1e-4)
    taken = EmbeddingSet.load(vectors)
    for label, name in enumerate(trainer.train_manifest.identities):
        wanted = taken.vectors[taken.identities == name].mean(0)
        np.testing.assert_allclose(means[1][label].numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_images_that_the_teacher_could_not_read(make_config, vectors: Path, tmp_path: Path) -> None:
    taken = EmbeddingSet.load(vectors)
    rows = taken.rows.copy()
    rows.loc[:, "error"] = pd.array(["broken", *[None] * (len(rows) - 1)], dtype="string")
    gap = np.array(taken.vectors)
    gap[0] = 0
    EmbeddingSet(gap, rows, taken.meta).save(tmp_path / "gap")
    heads = [
        {"name": "distillation", "teacher": str(tmp_path / "gap"), "loss": "soft_targets"},
    ]
    data = {**make_config().data.model_dump(), "development_share": 0}
    config = make_config(heads=heads, data=data, epochs=1)
    trainer = Trainer(config, Run(tmp_path / "run"))
    index = trainer.train_manifest.frame["path"].tolist().index(rows["path"][0])
    batch = Batch(torch.zeros(1, 3, 32, 32), torch.zeros(1), torch.tensor([index]), [])
    assert trainer._targets.of(batch, batch.images, ["distillation"])["distillation"].isnan().all()
    run = train(config, tmp_path / "trained")
    assert all(math.isfinite(line["loss"]) for line in read_metrics(run.metrics))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"teacher": "nowhere"}, ModelError, "heads.0.teacher: no model at "),
        ({"teacher_size": 7}, ConfigError, "heads.0.teacher_size is 7, but the embeddings of "),
        ({"map": False}, ConfigError, "head 'distillation': the teacher's embeddings have 12 "),
    ],
)
def test_teachers_that_do_not_fit(
    make_config, vectors: Path, tmp_path: Path, change: dict, error: type, message: str
) -> None:
    heads = [{"name": "distillation", "teacher": str(vectors), **change}]
    with pytest.raises(error) as raised:
        Trainer.start(make_config(heads=heads), tmp_path / "run")
    assert message in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_missing_rows_and_paths_are_said(make_config, vectors: Path, tmp_path: Path) -> None:
    taken = EmbeddingSet.load(vectors)
    taken.select(np.arange(10, 50)).save(tmp_path / "part")
    data = {**make_config().data.model_dump(), "development_share": 0}
    heads = [{"name": "distillation", "teacher": str(tmp_path / "part")}]
    with pytest.raises(DataError) as error:
        Trainer.start(make_config(heads=heads, data=data), tmp_path / "run")
    assert str(error.value) == (
        f"heads.0.teacher: teacher {tmp_path / 'part'} has no vector for 10 of 50 training images "
        "(first: person_00/0.png): embed the same data with it (facever embed)"
    )
    EmbeddingSet.from_arrays(np.eye(4), list("abcd")).save(tmp_path / "pathless")
    heads = [{"name": "distillation", "teacher": str(tmp_path / "pathless")}]
    with pytest.raises(DataError, match="its rows have no column 'path' to find the images by"):
        Trainer.start(make_config(heads=heads, data=data), tmp_path / "run")


def test_a_teacher_of_other_pixels_is_refused(make_config, teacher: Path, tmp_path: Path) -> None:
    model = make_config().model.model_dump()
    model["preprocessing"]["size"] = [40, 40]
    heads = [{"name": "distillation", "teacher": str(teacher)}]
    with pytest.raises(ConfigError) as error:
        Trainer.start(make_config(heads=heads, model=model), tmp_path / "run")
    assert str(error.value) == (
        f"heads.0.teacher: teacher {teacher} takes images of size (32, 32), this training makes "
        "(40, 40): set model.preprocessing.size to the teacher's, or give its embedding set as the "
        f"teacher (facever embed {teacher} DATA --out EMBEDDINGS)"
    )


def test_another_teacher_is_not_resumed_with(
    make_config, people: Path, teacher: Path, vectors: Path, tmp_path: Path
) -> None:
    place = tmp_path / "set"
    EmbeddingSet.load(vectors).save(place)
    heads = [{"name": "distillation", "teacher": str(place)}]
    run = train(make_config(heads=heads, epochs=1), tmp_path / "run")
    Trainer.resume(run.path)
    load_model(teacher, flip=True).extract(
        Manifest.from_folder(people), place, workers=0, overwrite=True
    )
    with pytest.raises(TrainingError, match=r"attributes or teacher are not those that .*run was"):
        Trainer.resume(run.path)


# ------------------------------------------------------------------ attributes


def test_attributes_are_learned_judged_and_written(
    make_config, labelled: Path, tmp_path: Path
) -> None:
    heads = [{"name": "cosface", "scale": 16}, {"name": "attributes", "columns": ["hat", "hair"]}]
    config = make_config(**columns(labelled), heads=heads, epochs=2, ema_decay=None)
    run = train(config, tmp_path / "run")
    looks = [line for line in read_metrics(run.metrics) if line["kind"] == "development"]
    labels = ["hat", "hair=blond", "hair=dark", "hair=red"]
    accuracies = [looks[-1][f"attributes/accuracy/{label}"] for label in labels]
    assert looks[-1]["attributes/accuracy"] == pytest.approx(np.mean(accuracies))

    model, classifier = load_model(run.path), AttributeClassifier.load(run.path)
    assert classifier.labels == tuple(labels)
    assert classifier.model_hash == model.card.model_hash
    people = Manifest.from_csv(labelled)
    embeddings = model.extract(people, tmp_path / "set", workers=0)
    told = classifier.predict(embeddings)
    chance = told["hair=red probability"].to_numpy(float)
    z = embeddings.vectors @ classifier.weight[3] + classifier.bias[3]
    np.testing.assert_allclose(chance, 1 / (1 + np.exp(-z)), rtol=1e-5)
    assert (told["hair=red"] == (chance > classifier.thresholds[3])).all()
    rows = embeddings.rows.copy()
    rows.loc[0, "error"] = "broken"
    gap = classifier.predict(replace(embeddings, rows=rows))
    assert gap["hat"].isna().tolist() == gap["hat probability"].isna().tolist()
    assert gap["hat"].isna().tolist() == [True] + [False] * (len(rows) - 1)

    trainer = Trainer(config, Run(tmp_path / "other"))
    held_out = told[told["identity"].isin(trainer.development_manifest.identities)]
    known = held_out[held_out["hat"].notna()]  # the prediction's column takes the label's place
    truth = people.frame.loc[known.index, "hat"].astype(float)
    right = (known["hat"].astype(float) == truth)[truth.notna()]
    assert classifier.development["hat"]["images"] == truth.notna().sum()
    assert classifier.development["hat"]["accuracy"] == pytest.approx(right.mean())


def test_embeddings_of_another_model_are_refused(
    make_config, labelled: Path, vectors: Path, tmp_path: Path
) -> None:
    heads = [{"name": "softmax"}, {"name": "attributes", "columns": ["hat"]}]
    data = {"root": str(labelled), "development_share": 0.0}
    run = train(make_config(data=data, heads=heads, epochs=1), tmp_path / "run")
    classifier = AttributeClassifier.load(run.path)
    assert classifier.thresholds.tolist() == [0.5]  # no development images to set it on
    assert classifier.development == {}
    with pytest.raises(ModelError, match="these embeddings are not of the model that the attr"):
        classifier.predict(EmbeddingSet.load(vectors))
    with pytest.raises(ModelError, match=r"no attribute classifier at .*: a finished training"):
        AttributeClassifier.load(tmp_path)
    (tmp_path / "attributes.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="is damaged, or no attribute classifier"):
        AttributeClassifier.load(tmp_path)


def test_the_targets_of_attributes_follow_the_rows(
    make_config, labelled: Path, tmp_path: Path
) -> None:
    heads = [{"name": "softmax"}, {"name": "attributes", "columns": ["hat", "hair"]}]
    trainer = Trainer(make_config(**columns(labelled), heads=heads), Run(tmp_path / "run"))
    batch = first_batch(trainer)
    targets = trainer._targets.of(batch, batch.images, ["softmax", "attributes"])
    assert targets.keys() == {"attributes"}
    for index, row in zip(batch.indices.tolist(), targets["attributes"].tolist(), strict=True):
        wanted = trainer.train_manifest.frame.iloc[index]
        assert (math.isnan(row[0]) and pd.isna(wanted["hat"])) or row[0] == float(wanted["hat"])
        if pd.notna(wanted["hair"]):
            colours = {"blond": [1, 0, 0], "dark": [0, 1, 0], "red": [0, 0, 1]}
            assert row[1:] == colours[wanted["hair"]]


def test_columns_that_cannot_be_used(make_config, labelled: Path, tmp_path: Path) -> None:
    heads = [{"name": "softmax"}, {"name": "attributes", "columns": ["hut"]}]
    said = r"^heads\.1\.columns: .+: unknown column 'hut'; did you mean 'hat'"
    with pytest.raises(DataError, match=said):
        Trainer.start(make_config(**columns(labelled), heads=heads), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("seed", range(5))
def test_the_best_threshold_is_that_of_a_search(seed: int) -> None:
    draw = np.random.default_rng(seed)
    wanted = (draw.random(30) < 0.3).astype(float)
    chances = np.round(np.clip(0.3 * wanted + 0.6 * draw.random(30), 0, 1), 1)  # with ties
    wanted[3] = np.nan
    known = np.isfinite(wanted)

    def balanced(threshold: float) -> float:
        yes = chances[known] > threshold
        return float(np.mean([(yes == side)[wanted[known] == side].mean() for side in (0, 1)]))

    found = best_threshold(chances, wanted)
    assert balanced(found) == pytest.approx(max(map(balanced, np.linspace(-0.01, 1, 1000))))


def test_thresholds_without_a_choice() -> None:
    assert best_threshold(np.array([0.1, 0.9]), np.array([1.0, 1.0])) == 0.5
    assert best_threshold(np.array([0.1, 0.9]), np.array([np.nan, np.nan])) == 0.5
    assert best_threshold(np.array([0.2, 0.4]), np.array([0.0, 1.0])) == pytest.approx(0.3)
    assert best_threshold(np.array([0.5, 0.5]), np.array([0.0, 1.0])) in (0.0, 1.0)
    assert best_threshold(np.array([0.0, 0.4]), np.array([1.0, 0.0])) == 1.0  # p > 0 is no p >= 0
    tied = best_threshold(np.array([0.1, 0.3, 0.6, 0.9]), np.array([0.0, 1.0, 0.0, 1.0]))
    assert tied == pytest.approx(0.75)  # 0.2 is as good, and farther from 0.5


# ------------------------------------------------------------------ thumbnails and paths


def test_thumbnails_are_the_images_made_small(make_config, tmp_path: Path) -> None:
    heads = [{"name": "softmax"}, {"name": "reconstruction", "size": 8}]
    trainer = Trainer(make_config(heads=heads), Run(tmp_path / "run"))
    batch = first_batch(trainer)
    found = trainer._targets.of(batch, batch.images, ["softmax", "reconstruction"])
    pixels = batch.images.numpy().astype(float).reshape(len(batch.images), 3, 8, 4, 8, 4)
    np.testing.assert_allclose(
        found["reconstruction"].numpy(), pixels.mean((3, 5)) / 255, rtol=1e-5, atol=1e-6
    )


def test_a_run_of_relative_paths_goes_on_from_anywhere(
    make_config,
    people: Path,
    vectors: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    interrupt_before,
) -> None:
    monkeypatch.chdir(people.parent)
    config = make_config(
        data={"root": people.name, "development_share": 0.3},
        heads=[{"name": "distillation", "teacher": os.path.relpath(vectors)}],
    )
    trainer = Trainer.start(config, tmp_path / "run")
    interrupt_before(trainer, 1)
    with pytest.raises(Interrupted):
        trainer.fit()
    require_same(config, load(TrainConfig, trainer.run.config), tmp_path)
    monkeypatch.chdir(tmp_path)
    assert Trainer.resume(tmp_path / "run").config.data.root == str(people)


def test_the_log_forgets_an_evaluation_whose_checkpoint_was_not_reached(
    make_config, tmp_path: Path, figures
) -> None:
    config = make_config(ema_decay=None, checkpoint_minutes=1e-9)  # after every update
    whole = train(config, tmp_path / "whole")
    trainer = Trainer.start(config, tmp_path / "killed")
    save = trainer._save_last

    def killed() -> None:
        if trainer.position.epoch == 2:
            raise KeyboardInterrupt
        save()

    trainer._save_last = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    resumed = Trainer.resume(tmp_path / "killed").fit()
    assert figures(resumed) == figures(whole)


def test_an_onnx_model_teaches(make_config, make_onnx_teacher, tmp_path: Path) -> None:
    """It sees the pixels of the batch, and its vectors are what is learned."""
    path, by_hand = make_onnx_teacher
    heads = [
        {"name": "distillation", "teacher": str(path), "loss": "euclidean"},
        {"name": "distillation", "teacher": str(path), "loss": "soft_targets"},
    ]
    trainer = Trainer(make_config(heads=heads), Run(tmp_path / "run"))
    batch = first_batch(trainer)
    found = trainer._targets.of(batch, batch.images, ["distillation"])["distillation"]
    np.testing.assert_allclose(found.numpy(), by_hand(batch.images.numpy()), atol=1e-4)
    run = train(make_config(heads=heads[:1], epochs=2), tmp_path / "trained")
    losses = [row["loss"] for row in read_metrics(run.path / "metrics.jsonl") if "loss" in row]
    assert losses[-1] < losses[0]


@pytest.fixture
def make_onnx_teacher(tmp_path: Path):
    """A network of the mean colour, with its card, and the same in NumPy."""
    from onnx import TensorProto, helper, numpy_helper

    from facever.models.onnx.adding import add_model

    weights = np.random.default_rng(2).normal(size=(3, 5)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["x"], ["c"], axes=[2, 3], keepdims=0),
            helper.make_node("MatMul", ["c", "w"], ["v"]),
        ],
        "teacher",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 3, 32, 32])],
        [helper.make_tensor_value_info("v", TensorProto.FLOAT, ["b", 5])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    (tmp_path / "t.onnx").write_bytes(model.SerializeToString())
    path = add_model(tmp_path / "t.onnx", tmp_path / "teacher.onnx", mean=100, std=50).path
    return path, lambda images: ((images - 100.0) / 50).mean(axis=(2, 3)) @ weights


@pytest.mark.usefixtures("real_models")
def test_sface_teaches(make_config, tmp_path: Path) -> None:
    config = make_config(
        heads=[{"name": "distillation", "teacher": "sface", "loss": "cosine"}],
        model={
            "backbone": "test_resnet",
            "embedding_size": 128,
            "preprocessing": {"size": [112, 112]},
        },
        epochs=1,
    )
    run = train(config, tmp_path / "run")
    assert read_metrics(run.path / "metrics.jsonl")
    with pytest.raises(ConfigError, match=r"sface takes images of size .*112.*32"):
        train(make_config(heads=config.heads), tmp_path / "other")
