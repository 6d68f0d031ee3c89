"""Each alarm of adversaries is raised on a trace of its trouble, once, and on no healthy one."""

import json
import math
from collections.abc import Callable, Iterator

import pytest

from facever.heads import Head, create_head
from facever.training.htg.alarms import RULES, Adversaries
from facever.training.monitoring.watch import Alarm, Watch

Figures = Callable[[float], dict[str, float]]

HEALTHY: dict[str, Figures] = {
    "begin": lambda t: {"real_kept": 0.1 + 0.8 * t, "mined_margin": -0.1, "pair_cosine": 0.1},
    "balanced": lambda t: {
        "told_apart": 0.8,
        "real_accuracy": 0.9,
        "generated_accuracy": 0.7,
        "offset": 0.3,
        "real_kept": 0.9,
        "generated_kept": 0.6,
        "pair_cosine": 0.05,
        "mined_margin": 0.0,
        "mined_violation": 0.6,
    },
    "one side perfect": lambda t: {
        "told_apart": 0.9,
        "real_accuracy": 1.0,
        "generated_accuracy": 0.8,
        "offset": 0.012,
    },
    "the other side perfect": lambda t: {
        "told_apart": 0.9,
        "real_accuracy": 0.8,
        "generated_accuracy": 1.0,
    },
    "every mined triplet is wrong, by far": lambda t: {
        "pair_cosine": 0.1,
        "mined_margin": -0.3,
        "mined_violation": 1.0,
    },
    "identities not known yet": lambda t: {"real_kept": 0.4, "generated_kept": 0.05},
    "hard triplets wrong as far as others are right": lambda t: {
        "pair_cosine": 0.2,
        "mined_margin": 0.001,
        "mined_violation": 0.5,
    },
}
SICK: dict[str, list[Figures]] = {
    "discriminator-perfect": [
        lambda t: {"real_accuracy": 1.0, "generated_accuracy": 0.996, "told_apart": 1.0}
    ],
    "discriminator-at-chance": [
        lambda t: {"told_apart": 0.5 + 0.04 * math.sin(9 * t), "real_accuracy": 0.5},
        lambda t: {"told_apart": 0.7, "real_accuracy": 0.06},
    ],
    "generator-still": [lambda t: {"offset": 0.002}],
    "identity-lost": [lambda t: {"real_kept": 0.8, "generated_kept": 0.35}],
    "embedder-collapsed": [
        lambda t: {"pair_cosine": 0.995, "mined_margin": -0.1, "mined_violation": 0.9},
        lambda t: {"pair_cosine": 0.5, "mined_margin": -0.004, "mined_violation": 1.0},
    ],
}
SAID = {
    "discriminator-perfect": ["100.0%", "99.6%", "Lower adversarial.discriminator.optimizer.lr"],
    "discriminator-at-chance": ["chance level", "Raise adversarial.discriminator.optimizer.lr"],
    "generator-still": ["0.002", "Raise adversarial.generator.optimizer.lr"],
    "identity-lost": ["35.0%", "80.0%", "Raise gamma"],
    "embedder-collapsed": ["mean cosine", "lower optimizer.lr"],
}


def softmax() -> Head:
    return create_head("softmax", embedding_size=4, identities=100, weight=0.5)


def watch(adversarial: bool = True) -> Watch:
    plain = {"batch": 32, "updates_per_epoch": 40}
    if not adversarial:
        return Watch({"softmax": softmax()}, **plain)
    return Watch(
        {"softmax": softmax()},
        **plain,
        heads_loss="adversarial/heads",
        others=lambda figures: [Adversaries(figures, margin=0.2, identities=100)],
    )


def alarms(figures: Figures, updates: int = 200, adversarial: bool = True) -> list[Alarm]:
    looking, raised = watch(adversarial), []
    for update in (1, *range(10, updates + 1, 10)):
        told = {f"adversarial/{name}": v for name, v in figures(update / updates).items()}
        raised += looking.look(update, told)
    return raised


@pytest.mark.parametrize(("kind", "figures"), [(kind, one) for kind in RULES for one in SICK[kind]])
def test_each_alarm_is_raised_once(kind: str, figures: Figures) -> None:
    (found,) = alarms(figures)
    assert found.kind == kind
    assert found.head == "adversarial"
    start, _, said = found.message.partition(": ")
    assert start.startswith("update ")
    assert start.endswith(", adversarial")
    assert all(part in said for part in SAID[kind])
    assert "\n" not in said
    assert alarms(figures, updates=40) == []  # too short
    assert alarms(figures, adversarial=False) == []


def test_the_two_ways_to_be_at_chance() -> None:
    one, other = (alarms(figures)[0].message for figures in SICK["discriminator-at-chance"])
    assert "50 %" in one
    assert "6.0% of the real features" in other
    assert "1.0%" in other


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_adversaries_are_left_in_peace(name: str) -> None:
    assert alarms(HEALTHY[name]) == []


def test_identities_are_judged_where_both_are_known() -> None:
    """Before the adversaries begin there are no generated features."""

    def figures(t: float) -> dict[str, float]:
        return {"real_kept": 0.9, **({"generated_kept": 0.1} if t > 0.5 else {})}

    (found,) = alarms(figures)
    assert found.message.startswith("update 160, adversarial")  # 50 updates after the first


def test_a_single_heads_loss_is_its_own_and_not_the_sum() -> None:
    """The loss of all holds the triplets too: a head at chance is seen all the same."""
    looking, raised = watch(), []
    for update in range(10, 201, 10):
        told = {"loss": 9.0 - update / 50, "adversarial/heads": math.log(100) / 2}
        raised += looking.look(update, {**told, "softmax/accuracy": 0.01})
    assert [alarm.kind for alarm in raised] == ["knows-nothing"]
    assert "the loss stays at 4.61" in raised[0].message


def test_its_memory_can_be_written_and_read() -> None:
    figures = SICK["identity-lost"][0]

    def looks(resumed: bool) -> Iterator[Alarm]:
        looking = watch()
        for update in range(10, 301, 10):
            if resumed:
                state = json.loads(json.dumps(looking.state_dict()))
                looking = watch()
                looking.load_state_dict(state)
            told = {f"adversarial/{name}": v for name, v in figures(0.0).items()}
            yield from looking.look(update, told)

    whole = list(looks(False))
    assert len(whole) == 1
    assert list(looks(True)) == whole
