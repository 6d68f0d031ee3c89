"""The blocks of torch, on the processor: the code that a GPU runs too."""

import numpy as np
import pytest
import torch

from facever.evaluation.scoring import streaming, torch_blocks
from facever.evaluation.scoring.pairwise import AllPairs
from facever.evaluation.scoring.products import NUMPY, Float32Blocks, places
from facever.evaluation.scoring.similarity import make_scorer
from facever.evaluation.scoring.streaming import StreamedTrials
from facever.evaluation.scoring.torch_blocks import (
    Bfloat16Blocks,
    TorchFloat32Blocks,
    full_precision,
    torch_engine,
)


@pytest.fixture
def make_pairs(make_faces):
    """A function (rows, two_sets, columns, similarity) -> AllPairs of made-up people."""

    def make(rows=150, two_sets=False, columns=0, similarity="cosine"):
        vectors, names = make_faces(rows, people=15, dimension=32)
        codes = np.unique(names, return_inverse=True)[1].astype(np.int64)
        rng = np.random.default_rng(1)
        excluded = rng.integers(4, size=(rows, columns))
        norms = rng.uniform(0.1, 30, rows).astype(np.float32)
        if not two_sets:
            return AllPairs(make_scorer(vectors, similarity, norms), codes, excluded=excluded)
        one, two = slice(rows // 2), slice(rows // 2, None)
        scorer = make_scorer(vectors[one], similarity, norms[one], vectors[two], norms[two])
        return AllPairs(
            scorer, codes[one], codes[two], excluded=excluded[one], other_excluded=excluded[two]
        )

    return make


@pytest.mark.parametrize("kind", [Bfloat16Blocks, TorchFloat32Blocks, Float32Blocks])
@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("two_sets", [False, True])
def test_bins_hold_the_scores_and_leave_out_what_is_no_trial(
    make_pairs, kind, similarity, two_sets
):
    pairs = make_pairs(two_sets=two_sets, columns=1, similarity=similarity)
    blocks = kind(pairs)
    rows, columns = slice(5, 70), slice(0, len(pairs.second.codes))
    counts = blocks.count(rows, columns)
    index, bins = blocks.above(1)
    kept = ~pairs.no_impostor(rows, columns)
    assert np.array_equal(index, np.flatnonzero(kept))
    assert np.array_equal(np.bincount(bins, minlength=len(counts)), counts)
    left, right = (m.astype(float) for m in (pairs.scorer.left, pairs.scorer.right))
    exact = (left[rows] @ right[columns].T)[kept]
    assert (np.diff(blocks.edges) > 0).all()
    assert (exact >= blocks.edges[bins] - blocks.error).all()
    assert (exact <= blocks.edges[bins.astype(int) + 1] + blocks.error).all()
    floor = int(np.median(bins))
    assert np.array_equal(blocks.above(floor)[0], index[bins >= floor])


def test_a_bin_holds_the_products_between_its_edges(make_pairs):
    blocks = Bfloat16Blocks(make_pairs())
    block = slice(0, 100)
    blocks.count(block, block)
    index, bins = blocks.above(1)
    scale = 1 / np.diff(blocks.edges)[0]
    products = blocks.product(block, block).float().numpy().ravel()[index] / scale
    assert (products < 0).any()
    assert (products >= blocks.edges[bins]).all()
    assert (products <= blocks.edges[bins.astype(int) + 1]).all()


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_in_the_lowest_bin_kept(make_faces, monkeypatch, seed):
    monkeypatch.setattr(streaming, "WHOLE", 0)
    monkeypatch.setattr(torch_blocks, "_ON_CPU", (3, 2))
    vectors, names = make_faces(60, people=12, seed=seed)
    pairs = AllPairs(make_scorer(vectors), np.unique(names, return_inverse=True)[1])
    everything = StreamedTrials(pairs, pairs.impostor).top.scores
    for wanted in (20, 50, 100):
        kept = StreamedTrials(pairs, wanted, torch_engine("cpu")).top.scores
        assert wanted <= len(kept)
        assert np.array_equal(kept, everything[: len(kept)])


def test_bfloat16_bins_are_finer_than_its_rounding(make_pairs):
    blocks = Bfloat16Blocks(make_pairs())
    assert np.diff(blocks.edges).max() <= blocks.error / 5
    assert len(blocks.edges) < 6_000  # that a GPU counts in its fast memory
    assert blocks.error < 0.007


def test_scores_are_in_float32_and_masked(make_pairs):
    pairs = make_pairs(columns=1)
    rows, columns = slice(0, 40), slice(20, 90)
    found = TorchFloat32Blocks(pairs).scores(rows, columns).numpy()
    expected = Float32Blocks(pairs).scores(rows, columns)
    assert np.array_equal(np.isinf(found), np.isinf(expected))
    held = np.isfinite(found)
    assert held.any()
    assert np.abs(found[held] - expected[held]).max() <= 2 * pairs.scorer.error


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("two_sets", [False, True])
def test_every_walk_gives_the_counts_of_numpy(make_pairs, monkeypatch, half, two_sets):
    monkeypatch.setattr(streaming, "WHOLE", 0)
    monkeypatch.setattr(torch_blocks, "_ON_CPU", (64, 96))
    pairs = make_pairs(400, two_sets, columns=1)
    one, two = (StreamedTrials(pairs, 300, e) for e in (NUMPY, torch_engine("cpu", half=half)))
    kept = min(len(one.top), len(two.top))
    assert 300 <= kept < 5_000
    assert np.array_equal(one.top.scores[:kept], two.top.scores[:kept])
    for k in (0, 17, 299, 5_000):  # the last below what is kept: second walks in float32
        threshold = one.threshold(k)
        assert threshold == two.threshold(k)
        assert one.false_accepts(threshold) == two.false_accepts(threshold) == k
        sums = one.error_sums(threshold), two.error_sums(threshold)
        assert np.array_equal(sums[0].per_person, sums[1].per_person)
        assert sums[0].squares == sums[1].squares
    assert one.histogram.impostor.sum() == two.histogram.impostor.sum() == pairs.impostor


def test_more_than_may_be_kept_is_found_in_finer_bins(make_pairs, monkeypatch):
    monkeypatch.setattr(streaming, "WHOLE", 0)
    pairs = make_pairs(300)
    listed = StreamedTrials(pairs, pairs.impostor)
    monkeypatch.setattr(streaming, "MOST_KEPT", 100)
    trials = StreamedTrials(pairs, 10_000, torch_engine("cpu"))
    assert len(trials.top) < 1000
    for k in (50, 5_000, 9_999):
        assert trials.threshold(k) == listed.threshold(k)


def test_blocks_of_a_device_are_as_large_as_it_likes(make_pairs, monkeypatch):
    monkeypatch.setattr(streaming, "WHOLE", 0)
    pairs, shapes = make_pairs(200), []
    engine = torch_engine("cpu")

    class Large(Bfloat16Blocks):
        def __init__(self, pairs):
            super().__init__(pairs)
            self.shape = (64, 128)

        def count(self, rows, columns):
            shapes.append((rows.stop - rows.start, columns.stop - columns.start))
            return super().count(rows, columns)

    trials = StreamedTrials(pairs, 50, streaming.BlockEngine(Large, engine.exact))
    assert max(shapes) == (64, 128)
    assert trials.threshold(20) == StreamedTrials(pairs, 50).threshold(20)


def test_a_low_precision_set_for_training_changes_nothing():
    matmul = torch.backends.cuda.matmul
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    matmul.allow_bf16_reduced_precision_reduction = True
    try:
        with full_precision():
            assert torch.get_float32_matmul_precision() == "highest"
            assert not matmul.allow_bf16_reduced_precision_reduction
        assert torch.get_float32_matmul_precision() == "medium"
        assert matmul.allow_bf16_reduced_precision_reduction
    finally:
        torch.set_float32_matmul_precision(before)


def test_places_of_arrays_and_tensors_are_the_same():
    mask = np.random.default_rng(0).random((7, 9)) < 0.3
    assert np.array_equal(places(torch.from_numpy(mask)), places(mask))
    assert np.array_equal(places(mask), np.flatnonzero(mask.ravel()))
