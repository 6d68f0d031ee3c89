"""The figures of the adversaries in a training (HTG), for diagnosis."""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from facever.render import figures
from facever.render.blocks import Block, Figure

_PREFIX = "adversarial/"


class _Course(NamedTuple):
    title: str
    axis: str
    series: dict[str, str]  # from the name in the legend to the key in the log
    caption: str
    logarithmic: bool = False


_COURSES = (
    _Course(
        "Adversaries: violated margins",
        "share of triplets",
        {"mined": "adversarial/mined_violation", "generated": "adversarial/generated_violation"},
        "Share of triplets that violate the margin. The generator is useful if its triplets are "
        "harder than those mined from the batch.",
    ),
    _Course(
        "Adversaries: distances",
        "d(a, n) - d(a, p)",
        {"mined": "adversarial/mined_margin", "generated": "adversarial/generated_margin"},
        "Squared distance of the negative minus that of the positive, for unit vectors. Below 0 "
        "the order of the triplet is wrong.",
    ),
    _Course(
        "Adversaries: accuracy of the discriminator",
        "share correct",
        {
            "real": "adversarial/real_accuracy",
            "generated": "adversarial/generated_accuracy",
            "real vs generated": "adversarial/told_apart",
        },
        "The discriminator should assign real features to their identity and generated features to "
        "the extra class. All curves at 1: the generator has no effect. Real vs generated at 0.5: "
        "chance level.",
    ),
    _Course(
        "Adversaries: identity kept",
        "share nearest to their own prototype",
        {"real": "adversarial/real_kept", "generated": "adversarial/generated_kept"},
        "Generated features that lose their identity are useless for training: their curve should "
        "stay close to that of real features.",
    ),
    _Course(
        "Adversaries: size of the offset",
        "length / length of the feature",
        {"generator": "adversarial/offset"},
        "Relative size of the change that the generator makes to a feature. At 0 it has no effect.",
    ),
    _Course(
        "Adversaries: gradients",
        "norm before clipping",
        {
            "embedder": "grad_norm",
            "generator": "adversarial/generator_grad_norm",
            "discriminator": "adversarial/discriminator_grad_norm",
        },
        "None of the three should vanish relative to the others or grow without bound.",
        logarithmic=True,
    ),
)


def adversarial_curves(train: pd.DataFrame) -> Iterator[Block]:
    """Yield the figures of a training's adversaries; nothing without adversaries.

    Args:
        train: The logged updates.
    """
    if not any(str(name).startswith(_PREFIX) for name in train):
        return
    for place, course in enumerate(_COURSES):
        series = {
            shown: (train["step"], train[name])
            for shown, name in course.series.items()
            if name in train
        }
        if any(course.series[shown].startswith(_PREFIX) for shown in series):
            yield Figure(
                course.title,
                figures.course(
                    f"adversarial-{place}",
                    course.title,
                    series,
                    course.axis,
                    logarithmic=course.logarithmic,
                ),
                course.caption,
            )
