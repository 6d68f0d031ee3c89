import numpy as np
import pytest
import torch

from facever.evaluation import verification
from facever.evaluation.scoring import bfloat16, streaming
from facever.evaluation.scoring.bfloat16 import Bfloat16Blocks, worth_it
from facever.evaluation.scoring.blocks import Float32Blocks
from facever.evaluation.scoring.pairwise import AllPairs
from facever.evaluation.scoring.similarity import make_scorer
from facever.evaluation.scoring.streaming import StreamedTrials


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_bins_order_scores_as_bfloat16_values_do(make_faces, similarity):
    vectors, _ = make_faces(200, dimension=64)
    norms = np.random.default_rng(0).uniform(0.1, 30, 200).astype(np.float32)
    scorer = make_scorer(vectors, similarity, norms)
    blocks = Bfloat16Blocks(scorer)
    assert (np.diff(blocks.edges) >= 0).all()
    part, whole = slice(0, 50), slice(0, 200)
    bins = blocks.bins(part, whole, None).copy()
    left = torch.from_numpy(scorer.left).bfloat16()
    product = (left[:50] @ left.T).float().numpy()
    assert np.array_equal(blocks.edges[bins], product)
    assert len(np.unique(bins)) > 500
    exact = scorer.left[:50].astype(float) @ scorer.right.T.astype(float)
    assert np.abs(blocks.edges[bins] - exact).max() <= blocks.error
    masked = np.zeros((50, 200), bool)
    masked[3, 7] = True
    assert blocks.bins(part, whole, masked)[3, 7] == 0


@pytest.mark.parametrize("seed", range(2))
def test_screening_in_bfloat16_gives_the_identical_answer(make_faces, monkeypatch, seed):
    monkeypatch.setattr(streaming, "WHOLE", 0)
    vectors, names = make_faces(600, people=60, dimension=32, seed=seed)
    codes = np.unique(names, return_inverse=True)[1].astype(np.int64)
    pairs = AllPairs(make_scorer(vectors), codes)
    one, two = (StreamedTrials(pairs, 300, kind) for kind in (Float32Blocks, Bfloat16Blocks))
    kept = min(len(one.top), len(two.top))
    assert kept >= 300
    assert np.array_equal(one.top.scores[:kept], two.top.scores[:kept])
    for k in (0, 17, 299, 5_000):
        assert one.threshold(k) == two.threshold(k)
        assert one.false_accepts(two.threshold(k)) == two.false_accepts(two.threshold(k)) == k


def test_precision_is_chosen_and_named(make_faces, monkeypatch):
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
    with pytest.raises(streaming.EvaluationError, match="unknown precision 'fp8'"):
        verification(vectors, names, precision="fp8")


def test_it_is_used_only_where_it_saves_time(make_faces, monkeypatch):
    scorer = make_scorer(make_faces(10)[0])
    monkeypatch.setattr(bfloat16, "speed_up", lambda width: 5.0)
    assert worth_it(scorer, 10**12, 10**5)
    assert not worth_it(scorer, 10**6, 10)
    assert not worth_it(scorer, 10**12, 10**10)
    assert worth_it(scorer, 10**10, 10**5)  # torch is here already
    monkeypatch.delitem(bfloat16.sys.modules, "torch")
    assert not worth_it(scorer, 10**10, 10**5)
    assert worth_it(scorer, 10**12, 10**5)
    monkeypatch.setattr(bfloat16, "speed_up", lambda width: 1.2)
    assert not worth_it(scorer, 10**12, 10**5)


def test_the_speed_up_is_measured():
    assert bfloat16.speed_up(64) > 0
