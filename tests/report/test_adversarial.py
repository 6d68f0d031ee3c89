"""The figures of adversaries: there where a training had some, of what its log says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from facever.render.blocks import Figure
from facever.render.figures import course
from facever.render.page import Report, render
from facever.render.svg import svg
from facever.report import training
from facever.report.adversarial import adversarial_curves
from facever.report.training import TrainingRecord

NAMES = (
    *("mined_violation", "generated_violation", "mined_margin", "generated_margin"),
    *("real_accuracy", "generated_accuracy", "told_apart", "real_kept", "generated_kept"),
    *("offset", "generator_grad_norm", "discriminator_grad_norm"),
)
TITLES = [
    *("violated margins", "distances", "accuracy of the discriminator", "identity kept"),
    *("size of the offset", "gradients"),
]


def log(**changes: Any) -> pd.DataFrame:
    """Four updates: two of the pre-training, where only mined triplets are known."""
    rows: dict[str, Any] = {"step": [1, 2, 3, 4], "grad_norm": [1.0, 2.0, 3.0, 4.0]}
    for place, name in enumerate(NAMES, start=1):
        mined = name.startswith(("mined", "real_kept"))
        early = [0.0, 0.0] if mined else [np.nan, np.nan]
        rows[f"adversarial/{name}"] = [*early, 0.5, place / 100]
    return pd.DataFrame({**rows, **changes})


def titles(train: pd.DataFrame) -> list[str]:
    blocks = list(adversarial_curves(train))
    assert all(isinstance(block, Figure) for block in blocks)
    return [block.title.removeprefix("Adversaries: ") for block in blocks]


def test_a_plain_training_has_none() -> None:
    assert titles(log()[["step", "grad_norm"]]) == []


def test_every_figure_of_the_diagnosis_is_drawn() -> None:
    blocks = list(adversarial_curves(log()))
    assert titles(log()) == TITLES
    told = [block.drawing.alt for block in blocks]
    assert "Mined ends at 0.01, generated ends at 0.02." in told[0]
    assert "Mined ends at 0.03, generated ends at 0.04." in told[1]
    assert "Real ends at 0.05, generated ends at 0.06, real vs generated ends at 0.07." in told[2]
    assert "Real ends at 0.08, generated ends at 0.09." in told[3]
    assert "Generator ends at 0.1." in told[4]
    assert "Embedder ends at 4, generator ends at 0.11, discriminator ends at 0.12." in told[5]


def test_without_discriminator_and_in_the_pretraining() -> None:
    spared = ["real_accuracy", "generated_accuracy", "told_apart", "discriminator_grad_norm"]
    without = log().drop(columns=[f"adversarial/{name}" for name in spared])
    assert titles(without) == [TITLES[i] for i in (0, 1, 3, 4, 5)]
    early = log()[["step", "grad_norm", "adversarial/mined_violation", "adversarial/real_kept"]]
    assert titles(early.iloc[:2]) == ["violated margins", "identity kept"]


@pytest.mark.filterwarnings("error")  # matplotlib's, of an axis without a positive value
def test_a_series_that_is_all_unknown_or_zero_is_drawn_all_the_same() -> None:
    nothing = {"a": ([1, 2], [np.nan, np.nan]), "b": ([1, 2], [0.0, 0.0])}
    drawing = course("c", "What", nothing, "y", logarithmic=True)
    assert "B ends at 0." in drawing.alt
    assert svg(drawing).startswith("<svg")


@pytest.mark.usefixtures("quick_figures")
def test_they_stand_in_the_report_of_a_run(run_folder: Path, read_page: Any) -> None:
    config = yaml.safe_load((run_folder / "config.yaml").read_text())
    config["adversarial"] = {"pretraining": 0.5}
    (run_folder / "config.yaml").write_text(yaml.safe_dump(config))
    rows = log().to_dict("records")
    lines = [json.dumps({"kind": "train", "loss": 1.0, "lr": 0.1, **row}) for row in rows]
    text = "".join(line.replace("NaN", "null") + "\n" for line in lines)
    (run_folder / "metrics.jsonl").write_text(text)
    record = TrainingRecord.read(run_folder)
    assert record.name == "resnet10t + cosface + softmax + HTG"
    page = read_page(render(Report("r", "v", "m", [], training.sections(record, False))))
    shown = [figure.all("h3")[0].text for figure in page.of_class("figure", "plot")]
    assert shown[-6:] == [f"Adversaries: {title}" for title in TITLES]
