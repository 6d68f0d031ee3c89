import math

import pytest
import torch

from facever.errors import ConfigError
from facever.heads import WeightedSum, create_head
from facever.heads.weight import WeightSchedule


def value(schedule: WeightSchedule, position: int, length: int) -> float:
    return schedule.at(torch.tensor(float(position), dtype=torch.float64), length).item()


def test_the_way_from_start_to_end():
    line = WeightSchedule(start=1.0, end=0.2, updates=8)
    assert [value(line, p, 8) for p in (0, 2, 8, 100)] == pytest.approx([1.0, 0.8, 0.2, 0.2])
    wave = WeightSchedule(start=0.0, end=2.0, updates=8, shape="cosine")
    wanted = [1 - math.cos(math.pi * p / 8) for p in range(9)]
    assert [value(wave, p, 8) for p in range(9)] == pytest.approx(wanted)
    assert value(wave, 9, 8) == pytest.approx(2.0)


def test_epochs_are_turned_into_updates():
    assert WeightSchedule(start=0.0, end=1.0, epochs=2.5).length(10) == 25
    assert WeightSchedule(start=0.0, end=1.0, epochs=0.01).length(10) == 1
    assert WeightSchedule(start=0.0, end=1.0, updates=7).length(None) == 7


def heads(**weight):
    torch.manual_seed(0)
    return [
        create_head("softmax", embedding_size=5, identities=7),
        create_head("cosine", embedding_size=5, identities=7, weight=weight),
    ]


def test_a_sum_whose_weight_moves(batch):
    x, labels = batch[0].float(), batch[1]
    total = WeightedSum(heads(start=0.0, end=0.4, epochs=2), updates_per_epoch=2)
    seen = []
    for _ in range(6):
        output = total(x, labels)
        seen.append(output.stats["cosine/weight"].item())
        first, second = (head(x, labels).loss.item() for head in total.heads)
        assert output.loss.item() == pytest.approx(first + seen[-1] * second, rel=1e-6)
        total.step_completed()
    assert seen == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.4])
    assert "softmax/weight" not in output.stats


def test_the_position_is_in_the_state(batch):
    x, labels = batch[0].float(), batch[1]
    one, other = (WeightedSum(heads(start=1.0, end=0.0, updates=10)) for _ in range(2))
    for _ in range(3):
        one.step_completed()
    state = one.state_dict()
    assert state["position"] == 3
    other.load_state_dict(state)
    assert other(x, labels).loss == one(x, labels).loss
    assert other(x, labels).stats["cosine/weight"].item() == pytest.approx(0.7)
    assert "position" not in WeightedSum(heads(start=1.0, end=0.0, updates=1)[:1]).state_dict()


def test_one_head_alone_may_move_too(batch):
    total = WeightedSum(heads(start=1.0, end=3.0, updates=2)[1:])
    total.step_completed()
    output = total(batch[0].float(), batch[1])
    assert output.loss.item() == pytest.approx(
        2 * total.heads[0](batch[0].float(), batch[1]).loss.item()
    )


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (
            {"start": 0.0, "end": 1.0},
            "'weight': a weight schedule takes either epochs or updates",
        ),
        (
            {"start": 0.0, "end": 1.0, "epochs": 1, "updates": 2},
            "'weight': a weight schedule takes either epochs or updates",
        ),
        (
            {"start": 1.0, "end": 1.0, "epochs": 1},
            "'weight': start and end are both 1: write weight: 1",
        ),
        ({"start": -1.0, "end": 1.0, "epochs": 1}, "'weight.start' is -1.0: Input should be"),
        ({"start": 0.0, "end": 1.0, "epochs": 1, "shape": "step"}, "'weight.shape' is 'step'"),
    ],
)
def test_refused(weight, message):
    with pytest.raises(ConfigError) as error:
        create_head("softmax", embedding_size=5, identities=7, weight=weight)
    assert str(error.value).startswith(f"head 'softmax': {message}")
    with pytest.raises(ConfigError, match=r"'weight' is 0: Input should be greater than 0"):
        create_head("softmax", embedding_size=5, identities=7, weight=0)


def test_epochs_of_unknown_length_are_refused():
    with pytest.raises(ConfigError) as error:
        WeightedSum(heads(start=0.0, end=1.0, epochs=1))
    assert str(error.value) == (
        "head 'cosine': a weight schedule in epochs needs updates_per_epoch"
    )
