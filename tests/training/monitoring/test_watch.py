"""Each alarm is raised on a trace that shows its trouble, once, and on no healthy one."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from torch import Tensor

from facever.core.run_folder import read_metrics
from facever.heads import HEADS, Head, HeadConfig, HeadOutput, create_head
from facever.heads.common.history import HeadHistory
from facever.heads.registry import register
from facever.training.monitoring.alarms import RULES
from facever.training.monitoring.watch import Alarm, Watch
from facever.training.train import train

Figures = Callable[[float], dict[str, float]]
"""From the share of the trace that is over, 0..1, to the head's figures."""


def of(name: str, **parameters) -> Head:
    """Return a head of 100 identities."""
    return create_head(name, embedding_size=4, identities=100, **parameters)


def alarms(
    head: Head, figures: Figures, *, alone: bool = True, updates: int = 200, **given: int
) -> list[Alarm]:
    """Run a trace of looks every 10 updates past a watch."""
    heads = {head.name: head} if alone else {"other": of("softmax"), head.name: head}
    settings = {"batch": 32, "updates_per_epoch": 40, **given}
    watch = Watch(heads, **settings)
    raised = []
    for update in (1, *range(10, updates + 1, 10)):
        told = figures(update / updates)
        means = {f"{head.name}/{name}": value for name, value in told.items()}
        if alone and "loss" in told:
            weight = head.config.weight if isinstance(head.config.weight, float) else 1.0
            means["loss"] = means.pop(f"{head.name}/loss") * weight
        raised += watch.look(update, means)
    return raised


def kinds(found: list[Alarm]) -> list[str]:
    return [alarm.kind for alarm in found]


LOG_C = math.log(100)
SICK = {
    "knows-nothing": (
        of("cosine", weight=0.5),
        lambda t: {"loss": LOG_C + 0.01 * math.sin(9 * t), "accuracy": 0.012},
    ),
    "stays-at-margin": (
        of("triplet", margin=0.3),
        lambda t: {"loss": 0.3 + 0.004 * math.sin(50 * t), "pair_cosine": 0.5},
    ),
    "all-alike": (of("contrastive"), lambda t: {"loss": 0.5, "pair_cosine": 0.9 + 0.0999}),
    "dead-start": (of("rbf"), lambda t: {"loss": 3.0, "distance_over_gamma": 32.0}),
    "no-annealing": (
        of("asoftmax", lambda_base=0, lambda_min=0),
        lambda t: {"loss": 7 - 3 * t, "accuracy": t, "annealing": 0.0},
    ),
    "embeddings-grow": (
        of("softmax"),
        lambda t: {"loss": 1 - t, "accuracy": 0.5, "embedding_norm": 3 * math.exp(5 * t)},
    ),
    "prototypes-grow": (
        of("softmax"),
        lambda t: {"loss": 1 - t, "accuracy": 0.5, "prototype_norm": math.exp(5 * t)},
    ),
    "without-partner": (of("contrastive"), lambda t: {"loss": 1 - t, "dropped": 9.0}),
    "scale-too-small": (
        of("cosine", scale="learned"),
        lambda t: {"loss": 4 - 2 * t, "accuracy": t, "scale": 5.0 - 4 * t},
    ),
}
REMEDY = {
    "knows-nothing": "optimizer.lr",
    "stays-at-margin": "semi_hard",
    "all-alike": "linear_bn",
    "dead-start": "gamma: following",
    "no-annealing": "lambda_base: 1000",
    "embeddings-grow": "linear_bn",
    "prototypes-grow": "optimizer.weight_decay",
    "without-partner": "batch.min_images",
    "scale-too-small": "optimizer.head_lr_scale",
}


def test_each_general_alarm_has_a_case() -> None:
    assert RULES.keys() <= SICK.keys() == REMEDY.keys()


@pytest.mark.parametrize("kind", SICK)
@pytest.mark.parametrize("alone", [True, False])
def test_each_alarm_is_raised_once(kind: str, alone: bool) -> None:
    head, figures = SICK[kind]
    found = alarms(head, figures, alone=alone)
    assert kinds(found) == [kind]
    assert found[0].head == head.name
    start, _, said = found[0].message.partition(": ")
    assert start.startswith("update ")
    assert start.endswith(f", head '{head.name}'")
    assert REMEDY[kind] in said
    assert "\n" not in said


HEALTHY = {
    "cosine": lambda t: {
        "loss": LOG_C * math.exp(-3 * t),
        "accuracy": t,
        "scale": 10 + 5 * t,
        "embedding_norm": 16 + t,
        "prototype_norm": 1 + 2 * t,
    },
    "softmax": lambda t: {  # slow, but it moves
        "loss": LOG_C * (1 - 0.05 * t),
        "accuracy": 0.01,
        "embedding_norm": 0.1 + 9 * min(1.0, 4 * t),  # from a small start to its level
        "prototype_norm": 1 + 4 * t,
    },
    "triplet": lambda t: {"loss": 0.2 * (1 - 0.6 * t), "pair_cosine": 0.999 - t, "dropped": 1.0},
    "contrastive": lambda t: {"loss": 1.0 - 0.5 * t, "pair_cosine": 0.9, "dropped": 0.0},
    "coupled_clusters": lambda t: {"loss": 0.3 - 0.25 * t, "pair_cosine": 0.2},
    "rbf": lambda t: {"loss": LOG_C - 4 * t, "accuracy": t, "distance_over_gamma": 9 * (1 - t)},
    "asoftmax": lambda t: {"loss": 5 - 4 * t, "accuracy": t, "annealing": max(5, 1000 - 5000 * t)},
    "attributes": lambda t: {"loss": 0.69, "accuracy": 0.5},
    "reconstruction": lambda t: {"loss": 0.05, "pixel_error": 0.2},
}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_trainings_are_left_in_peace(name: str) -> None:
    required = {"columns": ["a"]} if name == "attributes" else {}
    assert alarms(of(name, **required), HEALTHY[name]) == []


def test_what_lasts_too_short_is_no_alarm() -> None:
    for kind in ("knows-nothing", "stays-at-margin", "all-alike", "scale-too-small"):
        assert alarms(*SICK[kind], updates=40) == [], kind


def test_a_small_scale_that_grows_is_no_alarm() -> None:
    growing = {"loss": 3.0, "accuracy": 0.4}
    assert alarms(of("cosine"), lambda t: {**growing, "scale": 3 + 5 * t}) == []


def test_a_level_loss_that_tells_identities_apart_is_no_alarm() -> None:
    assert alarms(of("cosface"), lambda t: {"loss": 8.0, "accuracy": 0.4}) == []


@pytest.mark.parametrize(
    ("name", "figure"),
    [("sampled_softmax", "accuracy"), ("hierarchical_softmax", "target_probability")],
)
def test_heads_that_see_a_part_of_the_identities_may_know_nothing_too(name, figure) -> None:
    stuck = {"loss": LOG_C, figure: 0.01}
    assert kinds(alarms(of(name), lambda t: stuck)) == ["knows-nothing"]
    assert alarms(of(name), lambda t: {**stuck, figure: 0.4}) == []
    assert alarms(of(name), lambda t: {**stuck, "loss": LOG_C - 2 * t}) == []


def test_an_end_near_zero_loss_is_no_alarm() -> None:
    flat = {"loss": 0.01, "accuracy": 0.011, "pair_cosine": 0.3}
    assert alarms(of("cosine"), lambda t: flat) == []


def test_the_level_of_a_soft_margin_and_of_coupled_clusters() -> None:
    soft = of("triplet", margin=0.2, soft_margin=True)
    level = math.log(1 + math.exp(0.2))
    assert kinds(alarms(soft, lambda t: {"loss": level})) == ["stays-at-margin"]
    assert alarms(soft, lambda t: {"loss": 0.2}) == []
    clusters = of("coupled_clusters", margin=0.4)
    assert kinds(alarms(clusters, lambda t: {"loss": 0.2})) == ["stays-at-margin"]
    assert alarms(of("triplet", margin=0.0, soft_margin=False), lambda t: {"loss": 0.0}) == []
    wide = of("triplet", margin=0.0, soft_margin=True)
    assert kinds(alarms(wide, lambda t: {"loss": math.log(2)})) == ["stays-at-margin"]
    for name in ("coupled_clusters", "class_triplet"):
        assert of(name, reduction="sum").loss_at_collapse() is None


@pytest.fixture
def declared() -> Iterator[Head]:
    """A head that nobody knows, registered for one test; it declares all that alarms ask for."""

    @register
    class Declared(Head):
        class Config(HeadConfig):
            name: Literal["declared"] = "declared"

        paper = "none"

        def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
            raise NotImplementedError

        def loss_at_chance(self) -> float:
            return 7.0

        def loss_at_collapse(self) -> float:
            return 2.0

        def own_alarms(self, figures: HeadHistory) -> dict[str, str]:
            pulse = figures.now("pulse")
            return {} if pulse is None or pulse > 1 else {"no-pulse": f"{pulse:.1f} is too low"}

    yield create_head("declared", embedding_size=4, identities=100)
    del HEADS["declared"]


def test_a_head_gets_the_alarms_that_it_declares(declared: Head) -> None:
    at_chance = {"loss": 7.1, "accuracy": 0.01}
    assert kinds(alarms(declared, lambda t: at_chance)) == ["knows-nothing"]
    assert alarms(declared, lambda t: {**at_chance, "loss": 6.0}) == []
    assert kinds(alarms(declared, lambda t: {"loss": 2.0})) == ["stays-at-margin"]
    assert alarms(declared, lambda t: {"loss": 3.0}) == []
    (alarm,) = alarms(declared, lambda t: {"pulse": 0.5})
    assert (alarm.kind, alarm.head) == ("no-pulse", "declared")
    assert "head 'declared'" in alarm.message
    assert "0.5 is too low" in alarm.message
    assert alarms(declared, lambda t: {"pulse": 1.5}) == []


def test_a_head_that_declares_nothing_has_no_level() -> None:
    head = of("attributes", columns=["a"])
    assert (head.loss_at_chance(), head.loss_at_collapse()) == (None, None)
    assert alarms(head, lambda t: {"loss": LOG_C, "accuracy": 0.01}) == []


def test_identities_with_one_image() -> None:
    found = alarms(of("contrastive"), lambda t: {"loss": 1 - t}, lone=3)
    assert [alarm.message for alarm in found] == [
        "update 1, head 'contrastive': 3 identities have one image only, and no second one to "
        "compare it with. Set batch.min_images to 2"
    ]
    assert alarms(of("softmax"), lambda t: {"loss": 1 - t}, lone=3) == []


def test_values_that_are_not_finite_are_ignored() -> None:
    assert alarms(of("rbf"), lambda t: {"distance_over_gamma": math.inf}) == []


def test_its_memory_can_be_written_and_read() -> None:
    head, figures = SICK["knows-nothing"]

    def looks(resumed: bool) -> Iterator[Alarm]:
        watch = Watch({head.name: head}, batch=32, updates_per_epoch=40)
        for update in range(10, 301, 10):
            if resumed:
                state = json.loads(json.dumps(watch.state_dict()))
                watch = Watch({head.name: head}, batch=32, updates_per_epoch=40)
                watch.load_state_dict(state)
            told = figures(update / 300)
            yield from watch.look(
                update, {"loss": told["loss"] / 2, f"{head.name}/accuracy": told["accuracy"]}
            )

    whole = list(looks(False))
    assert len(whole) == 1
    assert list(looks(True)) == whole


def test_a_training_that_learns_nothing_says_so(make_config, tmp_path: Path, capsys) -> None:
    config = make_config(
        heads=[{"name": "cosine", "scale": 16}],
        optimizer={"name": "sgd", "lr": 1e-9, "weight_decay": 0},
        data={**make_config().data.model_dump(), "development_share": 0},
        model={**make_config().model.model_dump(), "dropout": 0.0, "neck": "none"}
        | {"embedding_size": 96},
        augmentation=None,
        ema_decay=None,
        epochs=12,
    )
    run = train(config, tmp_path / "run")
    (alarm,) = [line for line in read_metrics(run.metrics) if line["kind"] == "alarm"]
    assert alarm["alarm"] == "knows-nothing"
    assert alarm["head"] == "cosine"
    assert f"warning: {alarm['message']}" in capsys.readouterr().err


def test_a_dead_rbf_is_said_at_once(make_config, tmp_path: Path) -> None:
    run = train(make_config(heads=[{"name": "rbf", "gamma": 0.1}], epochs=1), tmp_path / "run")
    found = [line for line in read_metrics(run.metrics) if line["kind"] == "alarm"]
    assert [(line["alarm"], line["step"]) for line in found] == [("dead-start", 1)]


def test_a_healthy_training_is_left_in_peace(make_config, tmp_path: Path) -> None:
    run = train(make_config(epochs=14), tmp_path / "run")
    assert not [line for line in read_metrics(run.metrics) if line["kind"] == "alarm"]
