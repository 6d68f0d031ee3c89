"""Splits: disjoint, exact, stable."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facever.data.manifest import Manifest
from facever.data.split import parse_shares, split
from facever.errors import ConfigError, DataError

SHARES = {"train": 0.7, "dev": 0.1, "test": 0.2}


def people(counts: list[int]) -> Manifest:
    names = [f"p{i}" for i, count in enumerate(counts) for _ in range(count)]
    frame = pd.DataFrame({"path": [f"{i}.png" for i in range(len(names))], "identity": names})
    return Manifest(frame, Path("/"), "people")


def owners(manifest: Manifest) -> dict[str, str]:
    pairs = set(zip(manifest.frame["identity"], manifest.frame["subset"], strict=True))
    assert len(pairs) == len({identity for identity, _ in pairs}), "an identity in two subsets"
    return dict(pairs)


@pytest.mark.parametrize("stratify", [False, True])
@settings(max_examples=25, deadline=None)
@given(counts=st.lists(st.integers(1, 20), min_size=20, max_size=60), seed=st.integers(0, 9))
def test_disjoint_whole_and_of_the_right_size(stratify: bool, counts: list[int], seed: int) -> None:
    manifest = people(counts)
    done = split(manifest, SHARES, seed, stratify)
    assert done.frame["path"].tolist() == manifest.frame["path"].tolist()
    sizes = Counter(owners(done).values())
    for name, share in SHARES.items():
        assert abs(sizes[name] - share * len(counts)) <= 1


def test_a_fixed_answer() -> None:
    """The split of a seed is a promise: it must be the same in every version."""
    done = owners(split(people([1] * 10), {"train": 0.8, "test": 0.2}, seed=0))
    assert sorted(name for name, subset in done.items() if subset == "test") == ["p0", "p4"]


def test_seeds_differ_and_repeat() -> None:
    manifest = people([1] * 100)
    assert owners(split(manifest, SHARES, 1)) == owners(split(manifest, SHARES, 1))
    assert owners(split(manifest, SHARES, 1)) != owners(split(manifest, SHARES, 2))


def test_more_images_and_another_order_move_nobody() -> None:
    before = owners(split(people([1] * 100), SHARES))
    after = owners(split(people(list(range(1, 101))), SHARES))
    assert after == before
    shuffled = people([1] * 100).select(np.random.default_rng(0).permutation(100))
    assert owners(split(shuffled, SHARES)) == before


def test_new_identities_move_only_few() -> None:
    before = owners(split(people([1] * 1000), SHARES))
    after = owners(split(people([1] * 1010), SHARES))
    assert sum(after[name] != subset for name, subset in before.items()) <= 20


def test_stratified_subsets_have_their_share_of_each_group() -> None:
    counts = [1] * 100 + [10] * 50 + [40] * 10
    done = owners(split(people(counts), {"train": 0.8, "test": 0.2}, 3, stratify=True))
    for group in (range(100), range(100, 150), range(150, 160)):
        test = sum(done[f"p{i}"] == "test" for i in group)
        assert abs(test - 0.2 * len(group)) <= 1


def test_a_former_subset_is_replaced(tmp_path: Path) -> None:
    manifest = people([1] * 10)
    manifest = Manifest(manifest.frame.assign(subset="old"), tmp_path, "people")
    assert set(split(manifest, {"a": 0.5, "b": 0.5}).frame["subset"]) == {"a", "b"}


@pytest.mark.parametrize(
    "shares", [{}, {"a": 0.5}, {"a": 1.5, "b": -0.5}, {"a": 1.0, "b": 0.0}, {"a": float("nan")}]
)
def test_shares_must_add_up(shares: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"^shares must be positive and add up to 1 \(given: "):
        split(people([1] * 10), shares)


@pytest.mark.parametrize("stratify", [False, True])
def test_too_few_identities(stratify: bool) -> None:
    message = r"^people: 3 identities are too few; subset 'test' \(0\.1\) would get none$"
    with pytest.raises(DataError, match=message):
        split(people([2, 2, 2]), {"train": 0.9, "test": 0.1}, stratify=stratify)


def test_shares_as_words() -> None:
    assert parse_shares(["train=0.8", "test=.2"]) == {"train": 0.8, "test": 0.2}
    for word in ("train", "train=most", "=0.5"):
        with pytest.raises(ConfigError, match=word):
            parse_shares([word])
    with pytest.raises(ConfigError, match="name each subset once"):
        parse_shares(["a=0.5", "a=0.5"])
