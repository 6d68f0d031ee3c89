"""The bound of the codes against float64, and the files that hold them."""

from dataclasses import replace

import numpy as np
import pytest

from facever.embeddings.unit import unit_rows
from facever.gallery.index import codes as module
from facever.gallery.index.codes import LEAST, Codes, encoded
from facever.gallery.index.int8_products import SECOND, whole_queries

D = 40


def vectors_of(kind: str, rows: int = LEAST) -> np.ndarray:
    random = np.random.default_rng(0)
    rows_ = random.standard_normal((rows, D))
    if kind == "cone":
        rows_ = 0.05 * rows_ + 3 * random.standard_normal(D)
    elif kind == "outliers":
        rows_[: rows // 200] = 1e4 * np.eye(D)[np.arange(rows // 200) % D] + rows_[: rows // 200]
    elif kind == "equal":
        rows_[:] = rows_[0]
    return unit_rows(rows_)[0]


@pytest.mark.parametrize("words", [1, 2])
@pytest.mark.parametrize("kind", ["random", "cone", "outliers", "equal"])
def test_no_product_is_further_off_than_the_bound(kind: str, words: int) -> None:
    vectors = vectors_of(kind)
    codes = Codes.of(vectors)
    assert codes is not None
    assert codes.codes.shape[1] % 16 == 0
    random = np.random.default_rng(1)
    along = vectors[:60] + 0.1 * random.standard_normal((60, D))
    queries = unit_rows(np.concatenate([along, random.standard_normal((60, D))]))[0]
    moved, level = codes.scale.moved_queries(queries)
    whole, widths, lost = whole_queries(moved, words)
    counts = np.einsum("wqd,w->qd", whole.astype(np.float64), [1, 1 / SECOND][:words])
    signed = codes.codes.astype(np.float64)
    found = level[:, None] + codes.scale.step * widths[:, None] * (counts @ signed.T)
    off = np.abs(found - queries.astype(np.float64) @ vectors.astype(np.float64).T)
    fits = ~np.isin(np.arange(len(vectors)), codes.outside)
    bound = codes.bound(moved, lost, D)
    assert (off[:, fits].max(axis=1) <= bound).all()
    spread = (queries @ vectors[fits].T).std(axis=1)
    if kind != "equal":
        assert (bound < 1.5 * spread).all()  # else every vector is a candidate


@pytest.mark.parametrize("kind", ["random", "cone", "outliers", "equal"])
def test_error_and_reach_are_at_least_those_of_every_row_that_fits(kind: str) -> None:
    vectors = vectors_of(kind)
    codes = Codes.of(vectors)
    assert codes is not None
    moved, step = codes.scale.moved(vectors), codes.scale.step
    whole, errors, lengths = encoded(moved, step)
    coded = step * whole.astype(np.float64)
    off = np.linalg.norm(moved.astype(np.float64) - coded, axis=1)
    long = np.linalg.norm(coded, axis=1)
    assert (off <= errors).all()
    assert (long <= lengths).all()
    fits = ~np.isin(np.arange(len(vectors)), codes.outside)
    assert off[fits].max() <= codes.error < 1.01 * off[fits].max() + 1e-6
    assert long[fits].max() <= codes.reach < 1.01 * long[fits].max() + 1e-6


def test_the_bound_has_the_rounding_of_sums_also_where_nothing_else_is_lost() -> None:
    codes = Codes.of(vectors_of("random"))
    assert codes is not None
    exact = replace(codes, error=0.0, reach=1.0)
    bound = exact.bound(np.eye(1, D), np.zeros(1), D)
    assert D * 2.0**-24 <= bound[0] < 4 * (D + 64) * 2.0**-24


def test_a_planted_row_does_not_widen_the_scale() -> None:
    vectors = vectors_of("random")
    before = Codes.of(vectors)
    vectors[17] = np.eye(1, D)
    after = Codes.of(vectors)
    assert before is not None
    assert after is not None
    assert 17 in after.outside
    assert len(after.outside) <= len(vectors) // 100
    assert after.error < 1.02 * before.error
    assert not after.codes[17].any()


def test_few_vectors_or_many_damaged_ones_have_no_codes() -> None:
    vectors = vectors_of("random")
    assert Codes.of(vectors[:-1]) is None
    vectors[: LEAST // 50] = np.nan
    assert Codes.of(vectors) is None


def test_blocks_decide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = vectors_of("cone")
    one = Codes.of(vectors)
    monkeypatch.setattr(module, "_ROWS", 77)
    other = Codes.of(vectors)
    assert one is not None
    assert other is not None
    assert np.array_equal(one.codes, other.codes)
    assert one.error == pytest.approx(other.error, rel=1e-5)


@pytest.mark.parametrize("words", [1, 2])
def test_whole_queries_are_the_queries_up_to_what_is_lost(words: int) -> None:
    queries = np.random.default_rng(2).standard_normal((9, D))
    queries[3] = 0
    whole, widths, lost = whole_queries(queries, words)
    assert np.abs(whole.astype(int)).max() == 127
    back = widths[:, None] * (whole[0] + (whole[1] / SECOND if words == 2 else 0))
    assert np.allclose(np.linalg.norm(queries - back, axis=1), lost)
    assert (lost[3], widths[3]) == (0, 1)
    assert lost.max() < (0.2 if words == 1 else 1e-3)
