from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError
from facever.evaluate import verification
from facever.evaluation.inputs import TEMPLATES


@pytest.fixture
def sets(make_faces):
    """Probes and gallery of one model, sharing ten images."""
    vectors, names = make_faces(140, people=16)
    rng = np.random.default_rng(0)
    camera = rng.choice(["a", "b", "c"], 140)
    path = np.array([f"{i:03d}.jpg" for i in range(140)])

    def part(rows, dataset):
        made = EmbeddingSet.from_arrays(
            vectors[rows], names[rows], fingerprint="f", camera=camera[rows], path=path[rows]
        )
        return replace(made, meta=replace(made.meta, dataset=dataset))

    return part(np.arange(60), "probes"), part(np.arange(50, 140), "gallery")


def test_two_sets_are_named_together(sets):
    probes, gallery = sets
    result = verification(probes, against=gallery, far=[0.02])
    assert (result.protocol, result.dataset) == ("probe-gallery", "probes x gallery")
    assert result.operating_point(0.02).dataset == "probes x gallery"
    same_name = replace(gallery, meta=replace(gallery.meta, dataset="probes"))
    assert verification(probes, against=same_name, far=[0.1]).dataset == "probes"


def test_images_in_both_sets_are_warned_of_unless_left_out(sets):
    probes, gallery = sets
    result = verification(probes, against=gallery, far=[0.02])
    (warning,) = result.warnings
    assert warning.startswith("10 images are in both sets, first 050.jpg: ")
    assert warning.endswith("; exclude such pairs with --exclude path")
    left_out = verification(probes, against=gallery, far=[0.02], exclude=["path"])
    assert left_out.warnings == []
    assert left_out.trials.genuine == result.trials.genuine - 10
    elsewhere = replace(gallery, meta=replace(gallery.meta, root="elsewhere"))
    assert verification(probes, against=elsewhere, far=[0.02]).warnings == []
    failed = gallery.rows.assign(error=np.where(np.arange(90) < 10, "no face", None))
    assert verification(probes, against=replace(gallery, rows=failed), far=[0.02]).warnings == []


def test_failures_of_both_sets_are_counted(sets):
    probes, gallery = sets
    whole = verification(probes, against=gallery, far=[0.02]).trials
    lost = replace(gallery, rows=gallery.rows.assign(error=["x"] * 20 + [None] * 70))
    result = verification(probes, against=lost, far=[0.02])
    assert (result.failures.images, result.failures.failed) == (150, 20)
    assert result.failures.genuine == whole.genuine - result.trials.genuine > 0


def test_overlap_with_the_training_is_that_of_both_sets(sets):
    probes, gallery = sets
    trained = pd.DataFrame({"identity": ["p003", "p999"], "dataset": "d"})
    result = verification(replace(probes, trained_on=trained), against=gallery, far=[0.1])
    first, second = (side.identities == "p003" for side in sets)
    untouched = (~first).sum() * (~second).sum() / (60 * 90)
    assert result.overlap.identities == ["p003"]
    assert result.overlap.people == 16
    assert result.overlap.trials_share == pytest.approx(1 - untouched)
    failed = replace(gallery, rows=gallery.rows.assign(error=["x"] * 40 + [None] * 50))
    result = verification(replace(probes, trained_on=trained), against=failed, far=[0.1])
    untouched = (~first).sum() * (~second[40:]).sum() / (60 * 50)
    assert result.overlap.trials_share == pytest.approx(1 - untouched)


def test_wrong_use_is_one_clear_line(sets):
    probes, gallery = sets
    other = replace(gallery, meta=replace(gallery.meta, fingerprint="g"))
    templates = replace(gallery, meta=replace(gallery.meta, options={TEMPLATES: "t"}))
    no_camera = replace(gallery, rows=gallery.rows.drop(columns="camera"))
    cases = [
        (
            {"against": other},
            "the two embedding sets are of different models (f, g): embed both with",
        ),
        ({"against": templates}, "one embedding set holds templates, the other images"),
        ({"against": no_camera, "exclude": ["camera"]}, "unknown column 'camera'"),
        ({"against": no_camera, "groups": ["camera"]}, "unknown column 'camera'"),
        ({"against": gallery, "protocol": "lfw-view2"}, "lfw-view2 does not support a second set"),
        ({"group_far": 0.1}, "a FAR for groups needs columns to group by"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
    ]
    for options, message in cases:
        with pytest.raises(EvaluationError) as caught:
            verification(probes, **options)
        assert message in str(caught.value)
