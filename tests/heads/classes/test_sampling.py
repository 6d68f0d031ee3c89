import torch

from facever.heads.classes.sampling import Sampler, select


def seeded(seed: int, identities: int = 50, count: int = 20) -> Sampler:
    torch.manual_seed(seed)
    return Sampler(identities, count)


def test_distinct_identities_the_same_until_the_next_step():
    sampler = seeded(0)
    first = sampler.draw()
    assert first.dtype == torch.int64
    assert len(first.unique()) == 20
    assert sampler.draw().equal(first)
    sampler.advance()
    assert not sampler.draw().equal(first)


def test_no_more_than_there_are():
    assert sorted(seeded(0, identities=5).draw().tolist()) == [0, 1, 2, 3, 4]


def test_every_identity_is_drawn_as_often():
    sampler, counts = seeded(3, identities=10, count=3), torch.zeros(10)
    for _ in range(2000):
        counts[sampler.draw()] += 1
        sampler.advance()
    assert (counts / 2000 - 0.3).abs().max() < 4 * (0.3 * 0.7 / 2000) ** 0.5


def test_the_seed_is_torchs_and_a_resume_goes_on():
    a, same, other = seeded(1), seeded(1), seeded(2)
    assert a.draw().equal(same.draw())
    assert not a.draw().equal(other.draw())
    for _ in range(3):
        a.advance()
    other.load_state_dict(a.state_dict())
    assert other.draw().equal(a.draw())
    other.advance()
    assert not other.draw().equal(a.draw())
    a.advance()
    assert other.draw().equal(a.draw())


def test_selection_joins_drawn_and_own_identities():
    sample = select(torch.tensor([8, 2, 5]), torch.tensor([9, 5, 0, 9]))
    assert sample.rows.tolist() == [0, 2, 5, 8, 9]
    assert sample.labels.tolist() == [4, 2, 0, 4]
    assert sample.drawn.tolist() == [False, True, True, True, False]
