"""tools/experiments/lfw_gallery.py: what the real gallery answers is what evaluation counts."""

import importlib
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from facever.embeddings.embedding_set import EmbeddingSet
from facever.evaluate import identification

TOOLS = Path(__file__).parents[2] / "tools" / "experiments"
LABELS = ("everybody", "never seen, in the gallery of everybody",
          "never seen, in a gallery of them alone")  # fmt: skip


@pytest.fixture(scope="module")
def tool():
    sys.path.insert(0, str(TOOLS))
    try:
        return importlib.import_module("lfw_gallery")
    finally:
        sys.path.remove(str(TOOLS))


@pytest.fixture
def faces():
    """120 people: 40 with four images, 80 with one, as LFW has many of; 30 were trained on."""
    rng = np.random.default_rng(0)
    who = np.concatenate([np.repeat(np.arange(40), 4), np.arange(40, 120)])
    rng.shuffle(who)
    vectors = rng.standard_normal((120, 12))[who] + 0.7 * rng.standard_normal((len(who), 12))
    made = EmbeddingSet.from_arrays(vectors, [f"p{i:03d}" for i in who], fingerprint="f")
    trained = pd.DataFrame(
        {
            "identity": [f"p{i:03d}" for i in range(0, 120, 4)] + ["p001"],
            "dataset": "made up",
            "use": ["train"] * 30 + ["development"],
        }
    )
    return EmbeddingSet(made.vectors, made.rows, made.meta, trained)


def split(faces, people=None):
    """Return who is enrolled and who is asked about, one row after the other."""
    names, seen, enrolled = faces.identities.tolist(), set(), []
    for row, name in enumerate(names):
        if names.count(name) > 1 and name not in seen and (people is None or name in people):
            enrolled.append(row)
        seen.add(name)
    return enrolled


def test_the_curve_is_the_evaluations(tool, faces, tmp_path):
    result = tool.run(faces, tmp_path, [0.2, 0.1], 0)
    unseen = {n for n in faces.identities if int(n[1:]) % 4} - {"p001"}
    everyone = split(faces)
    asked = [row for row in range(len(faces)) if row not in everyone]
    theirs = [row for row in asked if faces.identities[row] in unseen]
    for label, gallery, probes in zip(
        LABELS, (everyone, everyone, split(faces, unseen)), (asked, theirs, theirs), strict=True
    ):
        expected = identification(
            faces.select(probes), faces.select(gallery), fpir=[0.2, 0.1]
        ).to_dict()
        curve = result["trials"][label]["curve"]
        assert curve["gallery_size"] == len(gallery)
        assert curve["probes"] == expected["probes"]
        assert curve["cmc"] == expected["cmc"]
        for mine, theirs_ in zip(
            curve["operating_points"], expected["operating_points"], strict=True
        ):
            assert mine["threshold"] == pytest.approx(theirs_["threshold"], abs=1e-6)
            assert mine["fnir"]["1"]["missed"] == theirs_["fnir"]["1"]["missed"]
            assert mine["false_positives"] == theirs_["false_positives"]
    assert result["overlap"]["identities"] == 30
    assert json.loads((tmp_path / "lfw_gallery.json").read_text()) == json.loads(json.dumps(result))
    assert "everybody" in (tmp_path / "lfw_gallery.md").read_text()


def test_no_probe_decides_about_its_own_people(tool, faces, tmp_path):
    """Each half by the threshold of the other, counted in a slow loop."""
    result = tool.run(faces, tmp_path, [0.1], 3)
    (decided,) = result["trials"][LABELS[0]]["decided"]
    thresholds = [point["threshold"] for point in decided["points"]]
    assert thresholds[0] != thresholds[1]
    everyone = split(faces)
    probes = faces.select([row for row in range(len(faces)) if row not in everyone])
    with tool.Gallery.open(tmp_path / "gallery") as gallery:
        first = tool.halves(tool.searched(gallery, probes), 3)
    by_person = pd.Series(first).groupby(probes.identities)
    assert (by_person.nunique() == 1).all()  # nobody is in both
    mated = np.isin(probes.identities, faces.identities[everyone])
    assert 15 <= by_person.first()[sorted(set(probes.identities[mated]))].sum() <= 25
    known = faces.vectors[everyone].astype(float)
    alarms = missed = 0
    for vector, name, half in zip(probes.vectors, probes.identities, first, strict=True):
        scores = known @ vector.astype(float)
        best = int(scores.argmax())
        # points[0] was chosen on the first half and decides about the second
        passes = scores[best] > thresholds[1 if half else 0]
        if name in faces.identities[everyone]:
            missed += not (passes and faces.identities[everyone][best] == name)
        else:
            alarms += passes
    assert (decided["false_positives"], decided["missed"]) == (alarms, missed)
    assert decided["fnir_interval"]["low"] <= decided["fnir"] <= decided["fnir_interval"]["high"]


def test_a_rate_that_the_halves_cannot_support_is_told(tool, faces, tmp_path):
    result = tool.run(faces, tmp_path, [0.2, 0.02], 0)
    trial = result["trials"][LABELS[0]]
    assert [one["fpir_target"] for one in trial["decided"]] == [0.2]
    (reason,) = trial["not_decided"]
    assert (
        reason
        == "decided at a FPIR of 0.02: a FPIR of 0.02 needs 50 non-mated probes; there are 40"
    )
    assert reason in (tmp_path / "lfw_gallery.md").read_text()


def test_where_the_training_is_not_known_everybody_is_measured(tool, faces, tmp_path):
    unknown = EmbeddingSet(faces.vectors, faces.rows, faces.meta, None)
    result = tool.run(unknown, tmp_path, [0.2], 0)
    assert list(result["trials"]) == ["everybody"]
    assert result["overlap"]["known"] is False


def test_real_faces_by_their_pixels(tool, real_data, tmp_path):
    """ORL: 25 people with ten images, of 15 others one image each."""
    rows = []
    for person in range(1, 41):
        for image in range(1, 11 if person <= 25 else 2):
            pixels = cv2.imread(str(real_data / f"orl/s{person}/{image}.pgm"), cv2.IMREAD_GRAYSCALE)
            small = cv2.resize(pixels, (23, 28), interpolation=cv2.INTER_AREA).astype(float)
            rows.append((f"s{person}", (small - small.mean()).ravel()))
    faces = EmbeddingSet.from_arrays(
        [pixels for _, pixels in rows], [name for name, _ in rows], fingerprint="pixels"
    )
    trial = tool.run(faces, tmp_path, [0.2], 0)["trials"]["everybody"]
    assert trial["curve"]["probes"] == {"mated": 225, "nonmated": 15}
    assert trial["curve"]["cmc"]["1"] > 0.6
    assert trial["decided"][0]["missed"] > 0
