"""Thresholds carried from one embedding set to another."""

from dataclasses import replace

import pandas as pd
import pytest

from facever.data.pairs import PairList
from facever.errors import EvaluationError
from facever.evaluate import template_set, transfer, verification
from facever.vectors.embedding_set import EmbeddingSet


def faces(make_faces, name, spread=1.0, seed=0):
    vectors, names = make_faces(120, people=12, spread=spread, seed=seed)
    made = EmbeddingSet.from_arrays(
        vectors,
        [f"{name}-{each}" for each in names],
        fingerprint="f",
        path=[f"{name}/{k}.jpg" for k in range(120)],
        template=[f"{each}-{k % 2}" for k, each in enumerate(names)],
        camera=[k % 2 for k in range(120)],
    )
    return replace(made, meta=replace(made.meta, dataset=name))


@pytest.fixture
def source(make_faces):
    return faces(make_faces, "here")


@pytest.fixture
def target(make_faces):
    return faces(make_faces, "there", spread=0.6, seed=1)


def test_from_set_to_set(source, target):
    found = transfer(source, target, far=[0.1, 0.01, 1e-6], exclude=["camera"])
    measured = verification(source, far=[0.1, 0.01], exclude=["camera"])
    points = [measured.operating_point(far) for far in (0.1, 0.01)]
    alone = transfer(points, target, exclude=["camera"])
    for one, two in zip(found.points, alone.points, strict=True):
        assert one.point.threshold == two.point.threshold
        assert (one.fmr, one.fnmr) == (two.fmr, two.fnmr)
        assert one.fmr_interval == two.fmr_interval
    assert (found.dataset, found.points[0].point.dataset) == ("there", "here")
    impostor = measured.trials.impostor
    assert found.warnings == [
        f"FAR 1e-06 is left out: the source has {impostor:,} impostor trials and it needs 1,000,000"
    ]


def test_a_point_on_a_list(source, target):
    point = verification(source, far=[0.1]).operating_point(0.1)
    rows = target.rows
    frame = pd.DataFrame({"a": rows["path"][:60].tolist(), "b": rows["path"][60:].tolist()})
    frame["same"] = rows["identity"][:60].to_numpy() == rows["identity"][60:].to_numpy()
    found = transfer(point, target, pairs=PairList(frame))
    scores = (target.vectors[:60].astype(float) * target.vectors[60:]).sum(axis=1)
    wrong = (scores > point.threshold) & ~frame["same"]
    assert found.points[0].false_accepts == wrong.sum()
    assert (found.protocol, found.trials.impostor) == ("pairs", (~frame["same"]).sum())
    assert found.warnings == []


def test_what_is_shared_and_unknown_is_said(source, target):
    found = transfer(source, source, far=[0.1])
    assert found.warnings == [
        f"{len(set(source.identities))} people are in both sets, first here-p000: the thresholds "
        "were chosen on them too"
    ]
    assert found.points[0].fmr == found.points[0].point.achieved_rate
    point = found.points[0].point.model_copy(update={"fingerprint": None})
    unknown = transfer(point, target)
    assert unknown.warnings == ["the operating point does not say of which model it is"]
    known = replace(
        target, trained_on=pd.DataFrame({"identity": [target.identities[0]], "dataset": ["x"]})
    )
    assert "the model was trained on 1 of" in transfer(source, known, far=[0.1]).warnings[0]


def test_templates_have_thresholds_of_their_own(source, target):
    point = verification(source, far=[0.1]).operating_point(0.1)
    with pytest.raises(
        EvaluationError, match=r"^the operating point is of kind 1:1-image, the embeddings of kind "
    ):
        transfer(point, template_set(target))
    found = transfer(template_set(source), template_set(target), far=[0.1])
    assert found.points[0].point.kind == "1:1-template"


def test_another_model_is_refused(source, target):
    other = replace(target, meta=replace(target.meta, fingerprint="g"))
    with pytest.raises(
        EvaluationError,
        match=r"^the operating point is of fingerprint f, the embeddings of g: a threshold holds",
    ):
        transfer(source, other, far=[0.1])
    with pytest.raises(EvaluationError, match=r"^no threshold to transfer: FAR 1e-07 is left out"):
        transfer(source, target, far=[1e-7])


def test_a_point_of_the_same_data_flatters(source, target):
    point = verification(source, far=[0.1]).operating_point(0.1)
    assert point.dataset == "here"
    assert transfer(point, source).warnings == [
        "the operating point was set on here too: rates on the people by whom a threshold was "
        "chosen flatter"
    ]
    assert transfer(point, target).warnings == []
    nameless = point.model_copy(update={"dataset": ""})
    unnamed = replace(source, meta=replace(source.meta, dataset=""))
    assert transfer(nameless, unnamed).warnings == []
