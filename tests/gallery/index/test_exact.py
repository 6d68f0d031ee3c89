"""Screened exact search against products in float64, on vectors chosen to defeat it."""

import itertools
import sys
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch

from facever.embeddings.unit import pair_cosines, unit_rows
from facever.gallery.checksums import checksums_of
from facever.gallery.index import bfloat16_products, exact, int8_products, screen
from facever.gallery.index import codes as codes_module
from facever.gallery.index.codes import Codes
from facever.gallery.index.people import Part
from facever.gallery.index.scans import DamagedError, NearEntries
from facever.gallery.index.screen import CodeScreen
from facever.gallery.index.view import View
from facever.gallery.records import Entries

D, N = 48, 900
ENGINES = ["scalar quantiser", "int8 products", "bfloat16 products"]


def unit(vectors: np.ndarray) -> np.ndarray:
    return unit_rows(vectors)[0]


def normal(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, D))


def near_duplicates() -> np.ndarray:
    return unit(np.concatenate([normal(1, 5) + 1e-7 * normal(600, 1), normal(N - 600, 2)]))


def zero_margin() -> np.ndarray:
    """Pairs of rows of different people that differ in the last bit of one value."""
    half = unit(normal(N // 2))
    other = half.copy()
    other[:, 0] = np.nextafter(other[:, 0], np.float32(2))
    return np.concatenate([half, other])


def heavy_tails() -> np.ndarray:
    rows = normal(N)
    rows[::2] = rows[::2] ** 9
    return unit(rows)


SETS: dict[str, Callable[[], np.ndarray]] = {
    "random": lambda: unit(normal(N)),
    "all equal": lambda: np.tile(unit(normal(1)), (N, 1)),
    "ties": lambda: np.tile(unit(normal(N // 9)), (9, 1)),
    "near duplicates": near_duplicates,
    "zero margin": zero_margin,
    "a planted row": lambda: unit(np.concatenate([normal(N - 1), np.eye(1, D)])),
    "a narrow cone": lambda: unit(10 * normal(1, 3) + 0.3 * normal(N)),
    "a point": lambda: unit(1e3 * normal(1, 3) + 1e-3 * normal(N)),
    "outliers": lambda: unit(np.concatenate([normal(N - 8), 1e3 * np.eye(D)[:8] + normal(8)])),
    "heavy tails": heavy_tails,
    "one-hot rows": lambda: np.tile(np.eye(D, dtype=np.float32), (N // D + 1, 1))[:N],
}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small sets have codes, and few listed entries."""
    monkeypatch.setattr(codes_module, "LEAST", 1)
    monkeypatch.setattr(exact, "_LISTED", dict.fromkeys(exact._LISTED, 16))
    monkeypatch.setattr(exact, "_MOST_LISTED", 128)


@pytest.fixture
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(exact, "engine_for", lambda *_: request.param)
    return str(request.param)


def view_of(vectors: np.ndarray, each: int = 1, tail: int = 0) -> View:
    """People of `each` rows, the last `tail` rows of which came after the snapshot."""
    numbers = np.arange(1, len(vectors) + 1)
    owners = np.random.default_rng(4).permutation(len(vectors)) // each + 1
    entries = Entries(numbers, owners, vectors, checksums_of(numbers, owners, vectors))
    first, last = entries.rows(slice(len(vectors) - tail)), entries.rows(slice(-tail, None))
    if not tail:
        last = entries.rows(slice(0))
    codes = Codes.of(first.vectors)
    assert codes is not None
    return View([Part(first), Part(last)], int(owners.max()), None, CodeScreen(codes))


def right(
    view: View, queries: np.ndarray, k: int, rule: str, among: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Every pair in float64, then every person: equal scores in order of the keys."""
    owners = np.concatenate([part.entries.owners for part in view.parts])
    vectors = np.concatenate([part.entries.vectors for part in view.parts])
    scores = np.full((len(queries), k), -np.inf, np.float32)
    keys = np.full((len(queries), k), -1)
    asked = set(owners[owners >= 0]) if among is None else set(among) & set(owners)
    for row, query in enumerate(queries):
        cosines = pair_cosines(np.tile(query, (len(vectors), 1)), vectors)
        people: dict[int, list[np.float32]] = {}
        for owner, cosine in zip(owners.tolist(), cosines, strict=True):
            if owner in asked:
                people.setdefault(owner, []).append(cosine)
        best = {
            key: max(each) if rule == "max" else np.float32(np.mean(each, dtype=np.float64))
            for key, each in people.items()
        }
        ranked = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))[:k]
        for place, (key, score) in enumerate(ranked):
            scores[row, place], keys[row, place] = score, key
    return scores, keys


def assert_equal(found: tuple[np.ndarray, np.ndarray], expected: tuple) -> None:
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
@pytest.mark.parametrize("name", SETS)
def test_answers_are_those_of_float64(engine: str, name: str) -> None:
    vectors = SETS[name]()
    queries = np.concatenate([vectors[:3], vectors[-1:], unit(normal(4, 9))])
    for each, rule in itertools.product((1, 3), ("max", "mean")):
        view = view_of(vectors, each)
        expected = right(view, queries, 4, rule)
        assert_equal(view.search(queries, 4, rule), expected)
        for row in range(0, len(queries), 3):  # alone: the same to the last bit
            found = view.search(queries[row : row + 1], 4, rule)
            assert_equal(found, (expected[0][row : row + 1], expected[1][row : row + 1]))


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
@pytest.mark.parametrize("rule", ["max", "mean"])
def test_a_filter_later_entries_and_removed_ones(engine: str, rule: str, monkeypatch) -> None:
    monkeypatch.setattr("facever.gallery.index.view._MANY_FILTERED", 1)
    view = view_of(SETS["outliers"](), each=3, tail=100)
    first = view.parts[0]
    owners = first.entries.owners.copy()
    owners[::7] = -1
    view = View([first.with_owners(owners), view.parts[1]], view.people, None, view._screen)
    queries = unit(normal(6, 9))
    assert_equal(view.search(queries, 5, rule), right(view, queries, 5, rule))
    for among in (np.arange(1, 250, 2), np.arange(5, 9), np.array([10**6])):
        found = view.search(queries, 5, rule, among)
        assert_equal(found, right(view, queries, 5, rule, among))


def test_many_probes_in_blocks_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of probes, the blocks and the threads decide nothing."""
    monkeypatch.setattr(int8_products, "is_usable", lambda _: True)
    monkeypatch.setattr(bfloat16_products, "is_usable", lambda _: True)
    vectors = SETS["random"]()
    view, queries = view_of(vectors, 2), unit(np.concatenate([normal(130, 9), vectors[:7]]))
    expected = right(view, queries, 3, "max")
    before = torch.get_num_threads()
    try:
        for threads, size in itertools.product((1, 2), (1, 2, 3, 4, 5, 64, 137)):
            torch.set_num_threads(threads)
            for start in range(0, len(queries), size):
                part = slice(start, start + size)
                found = view.search(queries[part], 3, "max")
                assert_equal(found, (expected[0][part], expected[1][part]))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_too_many_candidates_are_compared_exactly_and_counted(engine: str) -> None:
    equal = view_of(SETS["all equal"]())
    equal.search(unit(normal(5, 9)), 2, "max")
    assert (equal._screen.searched, equal._screen.fallbacks) == (5, 5)
    random = view_of(SETS["random"]())
    random.search(unit(normal(5, 9)), 2, "max")
    assert (random._screen.searched, random._screen.fallbacks) == (5, 0)


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_sums_of_wide_vectors_do_not_overflow(engine: str) -> None:
    """Every code is 127 or -127: products with two words would need more than 32 bits."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (300, 1040))
    view = view_of(unit(signs))
    queries = unit(signs[:5])
    assert_equal(view.search(queries, 2, "max"), right(view, queries, 2, "max"))


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_entries_outside_the_scale_hide_nobody(engine: str) -> None:
    """Their codes are 0, more than every product of a probe that is opposite to all vectors."""
    vectors = 0.98 * unit(normal(N) * (np.arange(D) > 0))
    vectors[:, 0] = 0.2
    vectors[:8] = np.eye(1, D)
    view = view_of(unit(vectors))
    assert view._screen is not None
    assert view._screen.codes.outside.tolist() == list(range(8))
    queries = unit(-np.eye(1, D) + 1e-3 * normal(4, 9))
    assert_equal(view.search(queries, 4, "max"), right(view, queries, 4, "max"))


def test_two_scores_may_be_off_by_the_bound_in_opposite_directions() -> None:
    """0.505 and 0.5 are seen as 0.485 and 0.52: neither may be left out."""

    class Off:
        def __len__(self) -> int:
            return 3

        def nearest(self, queries: np.ndarray, depth: int) -> NearEntries:
            scores = np.float32([[0.52, 0.485, 0.1]])[:, :depth]
            rows = np.array([[1, 0, 2]])[:, :depth]
            return NearEntries(scores, rows, rows + 1, np.array([0.02]))

    view = view_of(unit(normal(3)))
    pairs, left = view._by_entries._widened(unit(normal(1)), np.arange(1), 1, [Off()])
    assert sorted(pairs.positions) == [0, 1]
    assert not len(left)


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
@pytest.mark.parametrize("value", [np.nan, np.inf, -1e30, 1e15])
def test_a_damaged_row_is_found(engine: str, value: float) -> None:
    vectors = SETS["random"]()
    whole = view_of(vectors)
    vectors[7] = value
    codes = Codes.of(vectors)
    assert codes is not None
    assert 7 in codes.outside
    part = Part(whole.parts[0].entries._replace(vectors=vectors))
    with pytest.raises(DamagedError) as error:
        View([part], N, None, CodeScreen(codes)).search(unit(normal(5, 9)), N, "max")
    assert error.value.numbers.tolist() == [8]


def test_the_table_of_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    quantiser, int8, bfloat16 = "scalar quantiser", "int8 products", "bfloat16 products"
    for instructions, usable, expected in (
        ({"avx2"}, (True, True), [quantiser] + [int8] * 5 + [bfloat16]),
        ({"avx2"}, (True, False), [quantiser] + [int8] * 6),
        ({"avx2"}, (False, True), [quantiser] * 4 + ["float32"] * 2 + [bfloat16]),
        ({"avx2"}, (False, False), [quantiser] * 4 + ["float32"] * 3),
        ({"neon"}, (False, False), [quantiser] * 4 + ["float32"] * 3),
        (set(), (False, False), ["float32"] * 7),
    ):
        monkeypatch.setattr(screen, "instruction_sets", lambda given=instructions: given)
        monkeypatch.setattr(int8_products, "is_usable", lambda _, given=usable: given[0])
        monkeypatch.setattr(bfloat16_products, "is_usable", lambda _, given=usable: given[1])
        assert [screen.engine_for(n, N, D) for n in (1, 2, 4, 8, 9, 95, 96)] == expected


@pytest.mark.parametrize(
    ("module", "instructions"),
    [(int8_products, "multiplies_int8"), (bfloat16_products, "multiplies_bfloat16")],
)
def test_torch_is_imported_only_for_much_work(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, instructions: str
) -> None:
    monkeypatch.setattr(module, instructions, lambda: True)
    assert module.is_usable(1.0)
    monkeypatch.delitem(sys.modules, "torch")
    assert not module.is_usable(1e11)
