"""docs/htg.md tells what the code has."""

import re
from pathlib import Path
from typing import Any

import yaml

from facever.config import parse
from facever.training.config import TrainConfig
from facever.training.htg.alarms import RULES
from facever.training.htg.config import AdversarialConfig

DOCUMENT = Path(__file__).parents[3] / "docs" / "htg.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")


def section(heading: str) -> str:
    return TEXT.split(f"# {heading}\n", 1)[1].split("\n#", 1)[0]


def test_its_configuration_is_one() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    config = parse(TrainConfig, yaml.safe_load(block))
    assert config.adversarial == AdversarialConfig()


def test_every_key_with_its_default() -> None:
    rows = re.findall(r"^\| (`.+?) \| (.+?) \|", section("Configuration"), re.MULTILINE)
    told = {name: default for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    assert told.keys() == AdversarialConfig.model_fields.keys()
    for name, default in told.items():
        value: Any = getattr(AdversarialConfig(), name)
        if name in ("generator", "discriminator"):
            shown = f"{value.optimizer.name}, lr {value.optimizer.lr}, {value.schedule.name}"
            assert default == shown
        else:
            assert yaml.safe_load(default.strip("`")) == value


def test_every_alarm() -> None:
    alarms = section("Reading the diagnosis").split("| alarm |")[1]
    rows = re.findall(r"^\| `([a-z-]+)` \| .+ \|$", alarms, re.MULTILINE)
    assert rows == list(RULES)


def test_the_arms_of_the_ablation_are_configurations() -> None:
    rows = re.findall(r"\| `(\{.+?\})` \| `(\[.+?\])` \|", section("Ablation"))
    assert len(rows) == 7
    for adversarial, heads in rows:
        parse(
            TrainConfig,
            {
                "data": {"root": "somewhere"},
                "adversarial": yaml.safe_load(adversarial),
                "heads": yaml.safe_load(heads),
                "batch": {"size": 8, "images_per_identity": 2},
            },
        )
