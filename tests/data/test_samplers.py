from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facever.data.samplers import (
    ExhaustivePKSampler,
    PKSampler,
    SequentialSampler,
    ShuffleSampler,
)
from facever.errors import ConfigError, DataError

LABELS = np.repeat(np.arange(12), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 30])[
    np.random.default_rng(0).permutation(86)
]
CAMERAS = np.random.default_rng(1).integers(0, 3, 86)


def joined(lists) -> list[int]:
    return [item for items in lists for item in items]


def ranks(make, world: int) -> list[list[list[int]]]:
    """The batches of every process."""
    return [list(make(rank=rank, world=world)) for rank in range(world)]


@given(st.integers(1, 60), st.integers(1, 8), st.integers(1, 4), st.booleans(), st.integers(0, 2))
def test_shuffle_shows_every_image_once_and_splits_it_over_the_processes(
    images, batch_size, world, drop_last, epoch
):
    def make(rank, world):
        sampler = ShuffleSampler(
            images, batch_size, seed=5, drop_last=drop_last, rank=rank, world=world
        )
        sampler.set_epoch(epoch)
        return sampler

    if images < (batch_size * world if drop_last else world):
        with pytest.raises(DataError, match="images do not fill a batch"):
            make(0, world)
        return
    shares = ranks(make, world)
    assert {len(share) for share in shares} == {len(make(0, world))}
    shown = [index for share in shares for batch in share for index in batch]
    assert len(set(shown)) == len(shown)
    left_out = images - len(shown)
    assert left_out < (batch_size * world if drop_last else world)
    sizes = [[len(batch) for batch in share] for share in shares]
    if drop_last:
        assert {size for share in sizes for size in share} == {batch_size}
    assert all(max(column) - min(column) <= 1 for column in zip(*sizes, strict=True))


def test_processes_together_see_the_batches_of_one():
    one = list(ShuffleSampler(50, 12, seed=1))
    three = ranks(lambda **where: ShuffleSampler(50, 4, seed=1, **where), 3)
    assert one == [joined(parts) for parts in zip(*three, strict=True)]
    one = list(PKSampler(LABELS, 4, 3, seed=1))
    two = ranks(lambda **where: PKSampler(LABELS, 2, 3, seed=1, **where), 2)
    assert one == [joined(parts) for parts in zip(*two, strict=True)]


def test_shuffle_is_unbiased():
    places = np.zeros((6, 6))
    sampler = ShuffleSampler(6, 1, seed=0)
    for epoch in range(600):
        sampler.set_epoch(epoch)
        for place, [index] in enumerate(sampler):
            places[place, index] += 1
    assert np.abs(places - 100).max() < 45  # 5 standard deviations


SAMPLERS = {
    "shuffle": lambda: ShuffleSampler(86, 7, seed=3),
    "shuffle, all": lambda: ShuffleSampler(86, 7, seed=3, drop_last=False),
    "pk": lambda: PKSampler(LABELS, 3, 2, seed=3),
    "pk, cameras": lambda: PKSampler(LABELS, 3, 4, seed=3, cameras=CAMERAS, min_images=1),
    "pk, rank 1 of 2": lambda: PKSampler(LABELS, 2, 4, seed=3, rank=1, world=2),
    "pk, every image": lambda: ExhaustivePKSampler(LABELS, 2, 4, seed=3, rank=1, world=2),
    "sequential": lambda: SequentialSampler([range(86)], 7),
}


@pytest.mark.parametrize("make", SAMPLERS.values(), ids=SAMPLERS)
def test_a_resume_at_any_batch_is_the_uninterrupted_tail(make):
    whole = make()
    whole.set_epoch(2)
    batches = list(whole)
    assert len(batches) == len(whole) > 4
    for start in range(len(batches) + 1):
        resumed = make()
        resumed.set_epoch(2)
        resumed.start_at(start)
        assert list(resumed) == batches[start:]
        assert len(resumed) == len(batches)
        resumed.set_epoch(2)  # begins the epoch anew
        assert list(resumed) == batches
    with pytest.raises(ConfigError, match="cannot start at batch"):
        whole.start_at(len(batches) + 1)


@pytest.mark.parametrize("make", list(SAMPLERS.values())[:6], ids=list(SAMPLERS)[:6])
def test_the_same_epoch_is_the_same_and_another_is_not(make):
    first, second = make(), make()
    first.set_epoch(1)
    second.set_epoch(0)
    assert list(first) != list(second)
    second.set_epoch(1)
    assert list(first) == list(second)


@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(1, 2), st.booleans())
@settings(deadline=None)
def test_pk_composition(identities, images, min_images, world, with_cameras):
    cameras = CAMERAS if with_cameras else None
    shares = ranks(
        lambda **where: PKSampler(
            LABELS, identities, images, seed=0, min_images=min_images, cameras=cameras, **where
        ),
        world,
    )
    sizes = Counter(LABELS.tolist())
    eligible = {label for label, size in sizes.items() if size >= min_images}
    fills = sum(sizes[label] for label in eligible) // (identities * images * world)
    per_round = len(eligible) // (identities * world)
    assert {len(share) for share in shares} == {max(1, fills)}
    rounds: dict[int, list[int]] = {}
    for share in shares:
        for number, batch in enumerate(share):
            assert len(batch) == identities * images
            for place in range(identities):
                chosen = batch[place * images : (place + 1) * images]
                [label] = {int(LABELS[index]) for index in chosen}
                assert label in eligible
                rounds.setdefault(number // per_round, []).append(label)
                uses = Counter(chosen).values()
                assert len(uses) == min(images, sizes[label])
                assert max(uses) - min(uses) <= 1
    for labels in rounds.values():
        assert len(set(labels)) == len(labels), "an identity twice within a round"


def test_pk_spreads_over_cameras_as_evenly_as_the_images_allow():
    for batch in PKSampler(LABELS, 3, 4, seed=0, cameras=CAMERAS):
        for place in range(3):
            chosen = batch[4 * place : 4 * place + 4]
            own = np.flatnonzero(np.equal(LABELS, LABELS[chosen[0]]))
            there = Counter(CAMERAS[own].tolist())
            expected: Counter[int] = Counter()
            while expected.total() < min(4, len(own)):  # fill the emptiest camera with room
                room = [camera for camera in there if expected[camera] < there[camera]]
                expected[min(room, key=lambda camera: expected[camera])] += 1
            got = Counter(CAMERAS[list(set(chosen))].tolist())
            assert sorted(got.values()) == sorted(expected.values())


def test_pk_shows_all_images_of_an_identity_before_any_again():
    labels = np.repeat([0, 1], 12)
    sampler = PKSampler(labels, 2, 3, seed=0)
    assert len(sampler) == 4
    assert sorted(joined(sampler)) == list(range(24))


def test_pk_rotates_through_more_identities_than_a_round_holds():
    labels = np.repeat(np.arange(5), 2)
    sampler = PKSampler(labels, 4, 2, seed=0)
    seen = set()
    for epoch in range(12):
        sampler.set_epoch(epoch)
        seen |= {int(labels[index]) for batch in sampler for index in batch}
    assert seen == set(range(5))


def test_pk_orders_every_round_anew():
    labels = np.repeat(np.arange(8), 6)
    batches = list(PKSampler(labels, 4, 2, seed=0))
    companies = [frozenset(labels[batch].tolist()) for batch in batches[::2]]
    assert len(companies) == 3
    assert len(set(companies)) > 1


def test_labels_may_be_any_integers():
    labels = np.array([900, 900, -1, -1])
    assert sorted(next(iter(PKSampler(labels, 2, 2, seed=0)))) == [0, 1, 2, 3]


def test_cameras_may_be_text():
    batch = next(
        iter(PKSampler([0, 0, 0, 0], 1, 2, seed=0, cameras=["left", "left", "left", "right"]))
    )
    assert 3 in batch


def test_sequential_begins_anywhere():
    assert list(SequentialSampler([range(7)], 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(SequentialSampler([range(5, 7)], 3)) == [[5, 6]]
    assert list(SequentialSampler([], 3)) == []
    runs = SequentialSampler([range(1, 4), range(6, 10)], 3)
    assert list(runs) == [[1, 2, 3], [6, 7, 8], [9]]
    assert len(runs) == 3
    runs.start_at(2)
    assert list(runs) == [[9]]


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (
            lambda: ShuffleSampler(40, 64, seed=0),
            DataError,
            "40 images do not fill a batch of 64 on 1 process: at least 64 are needed; "
            "choose a smaller batch",
        ),
        (
            lambda: ShuffleSampler(40, 0, seed=0),
            ConfigError,
            "batch size is 0 (allowed: at least 1)",
        ),
        (
            lambda: ShuffleSampler(40, 4, seed=0, rank=2, world=2),
            ConfigError,
            "rank 2 is not one of 2 processes (0 to 1)",
        ),
        (
            lambda: PKSampler(LABELS, 8, 4, seed=0, world=2),
            DataError,
            "batches of 8 identities on 2 processes need 16 identities with at least 2 images "
            "each, but only 10 of 12 qualify: lower P or min_images",
        ),
        (
            lambda: PKSampler(LABELS, 8, 0, seed=0),
            ConfigError,
            "P x K batches of 8 x 0 with at least 2 images per identity: "
            "all three must be at least 1",
        ),
        (
            lambda: PKSampler(LABELS, 2, 2, seed=0, cameras=[1, 2]),
            ConfigError,
            "2 cameras for 86 images",
        ),
    ],
)
def test_refuses_with_one_line(make, kind, message):
    with pytest.raises(kind) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("cameras", [False, True])
@pytest.mark.parametrize("sizes", [[5, 9, 2, 40, 3, 7], [4, 4, 4, 4], [1, 2, 3, 4, 5, 6, 7, 8]])
def test_every_image_occurs_in_an_epoch_of_images(sizes, cameras, world):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    options = {"min_images": 1, "cameras": np.arange(len(labels)) % 3 if cameras else None}
    parts = [
        ExhaustivePKSampler(labels, 2, 4, seed=3, rank=rank, world=world, **options)
        for rank in range(world)
    ]
    seen = Counter()
    for batches in zip(*parts, strict=True):
        people = [labels[batch].reshape(2, 4) for batch in batches]
        assert all((rows == rows[:, :1]).all() for rows in people)
        assert len({row[0] for rows in people for row in rows}) == 2 * world
        seen.update(image for batch in batches for image in batch)
    assert set(seen) == set(range(len(labels)))
    groups = [
        -(-size // 4) for size in sizes
    ]  # of four; the largest identity needs its own batches
    assert len(parts[0]) == max(-(-sum(groups) // (2 * world)), max(groups))


def test_an_epoch_of_images_repeats_only_to_fill():
    labels = np.repeat(np.arange(8), 8)  # two groups of four each: nothing is to fill
    sampler = ExhaustivePKSampler(labels, 4, 4, seed=0)
    assert sorted(image for batch in sampler for image in batch) == list(range(64))
    tail = np.repeat([0, 1, 2, 3], [400, 8, 8, 8])  # today's epoch shows 4 of 400 in each batch
    shown = {image for batch in PKSampler(tail, 4, 4, seed=0) for image in batch}
    assert len(shown) < 200
    shown = {image for batch in ExhaustivePKSampler(tail, 4, 4, seed=0) for image in batch}
    assert len(shown) == len(tail)


def test_an_epoch_of_images_spreads_each_group_over_the_cameras():
    cameras = np.repeat([0, 1, 2, 3], 6)
    sampler = ExhaustivePKSampler(np.zeros(24, int), 1, 4, seed=1, cameras=cameras)
    assert [sorted(cameras[batch]) for batch in sampler] == [[0, 1, 2, 3]] * 6
