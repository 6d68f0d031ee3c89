"""How adversaries did in a training: the figures that a diagnosis looks at."""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from facever.render import figures
from facever.render.blocks import Block, Figure

_PREFIX = "adversarial/"


class _Course(NamedTuple):
    title: str
    axis: str
    series: dict[str, str]  # from the name shown to that in the log
    caption: str
    logarithmic: bool = False


_COURSES = (
    _Course(
        "Adversaries: violated margins",
        "share of triplets",
        {"mined": "adversarial/mined_violation", "generated": "adversarial/generated_violation"},
        "How many triplets violate the margin. The generator is of use where its triplets are "
        "harder than those that were mined from the batch.",
    ),
    _Course(
        "Adversaries: distances",
        "d(a, n) - d(a, p)",
        {"mined": "adversarial/mined_margin", "generated": "adversarial/generated_margin"},
        "By how much the negative is farther than the positive, as squared distances of unit "
        "vectors; below 0 a triplet is wrong.",
    ),
    _Course(
        "Adversaries: the discriminator's verdicts",
        "share right",
        {
            "real": "adversarial/real_accuracy",
            "generated": "adversarial/generated_accuracy",
            "told apart": "adversarial/told_apart",
        },
        "Real features are to get their identity, generated ones the class of their own. All at 1, "
        "the generator has lost; told apart at 0.5, the discriminator guesses.",
    ),
    _Course(
        "Adversaries: identity kept",
        "share nearest to the own prototype",
        {"real": "adversarial/real_kept", "generated": "adversarial/generated_kept"},
        "Generated features that lose their identity teach nothing: their curve should stay near "
        "the real one.",
    ),
    _Course(
        "Adversaries: size of the offset",
        "length over that of the feature",
        {"generator": "adversarial/offset"},
        "How far the generator moves a feature. At 0 it does nothing.",
    ),
    _Course(
        "Adversaries: gradients",
        "norm before clipping",
        {
            "embedder": "grad_norm",
            "generator": "adversarial/generator_grad_norm",
            "discriminator": "adversarial/discriminator_grad_norm",
        },
        "None of the three should vanish beside the others, or grow without end.",
        logarithmic=True,
    ),
)


def adversarial_curves(train: pd.DataFrame) -> Iterator[Block]:
    """Yield the figures of a training's adversaries; none where it had none.

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
