import sys

import numpy as np
import pytest

from facever.errors import EvaluationError
from facever.evaluate import verification
from facever.evaluation.scoring import engines, streaming
from facever.evaluation.scoring.engines import choose_engine, worth_it
from facever.evaluation.scoring.pairwise import AllPairs
from facever.evaluation.scoring.products import BINS, NUMPY, Float32Blocks
from facever.evaluation.scoring.similarity import make_scorer
from facever.evaluation.scoring.torch_blocks import Bfloat16Blocks, torch_engine


@pytest.fixture
def pairs(make_faces):
    vectors, names = make_faces(30)
    return AllPairs(make_scorer(vectors), np.unique(names, return_inverse=True)[1])


def test_the_answer_is_the_same_at_every_precision(make_faces, monkeypatch):
    monkeypatch.setattr(streaming, "WHOLE", 0)
    vectors, names = make_faces(300, people=30)
    chosen = {
        precision: verification(vectors, names, far=[1e-3], precision=precision)
        for precision in ("float32", "bfloat16", "auto")
    }
    one, two = chosen["float32"], chosen["bfloat16"]
    assert one.at(1e-3) == two.at(1e-3) == chosen["auto"].at(1e-3)
    assert abs(one.auc.value - two.auc.value) <= two.auc.bound
    assert one.auc.bound < two.auc.bound
    assert chosen["auto"].auc == one.auc


def test_bfloat16_is_used_only_where_it_saves_time(pairs, monkeypatch):
    monkeypatch.setattr(engines, "multiplies_bfloat16", lambda: True)

    def worth(trials, wanted):
        monkeypatch.setattr(pairs, "impostor", trials)
        return worth_it(pairs, wanted)

    assert worth(10**12, 10**5)
    assert not worth(10**6, 10)
    assert not worth(10**12, 10**10)
    assert worth(10**10, 10**5)  # torch is here already
    assert isinstance(choose_engine(pairs, 10**5).screen(pairs), Bfloat16Blocks)
    assert choose_engine(pairs, 10**5, "float32") is NUMPY
    monkeypatch.delitem(sys.modules, "torch")
    assert not worth(10**10, 10**5)
    assert worth(10**12, 10**5)
    monkeypatch.setattr(engines, "multiplies_bfloat16", lambda: False)
    assert not worth(10**12, 10**5)


def test_a_gpu_is_used_where_asked_for_and_there(pairs, make_faces, monkeypatch):
    monkeypatch.setattr(engines, "_has_gpu", lambda: False)
    assert choose_engine(pairs, 10, device="auto") is NUMPY
    with pytest.raises(EvaluationError, match="omit `device`"):
        verification(*make_faces(30), device="cuda")
    monkeypatch.setattr(engines, "_has_gpu", lambda: True)
    monkeypatch.setattr("facever.evaluation.scoring.torch_blocks.torch_engine", on_the_processor)
    for device in ("auto", "cuda"):
        assert isinstance(choose_engine(pairs, 10, device=device).screen(pairs), Bfloat16Blocks)
    exact = choose_engine(pairs, 10, "float32", "cuda").screen(pairs)
    assert not isinstance(exact, Bfloat16Blocks | Float32Blocks)
    assert choose_engine(pairs, 10, device="cpu") is NUMPY


def on_the_processor(device, *, half=True):
    assert device == "cuda"
    return torch_engine("cpu", half=half)


def test_few_trials_are_scored_at_once_whatever_is_asked_for(pairs):
    trials = streaming.stream(pairs, 10, "bfloat16")
    assert trials.whole
    assert len(trials.histogram.edges) == BINS + 1  # NumPy's


def test_unknown_precisions_and_devices_are_named(make_faces):
    with pytest.raises(EvaluationError, match="unknown precision 'fp8'"):
        verification(*make_faces(30), precision="fp8")
    with pytest.raises(EvaluationError, match="unknown device 'gpu'"):
        verification(*make_faces(30), device="gpu")
