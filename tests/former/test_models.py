"""Fingerprints, names of weights and defaults are those of former code; its files open."""

from pathlib import Path

import pytest

from tests.former.models import CONFIGS, FILES, heads, opened, told
from tests.former.replay import differences, one_thread, records, same_machine

RECORDS = records("models.tar.xz")
RELATIVE = 1e-6 if same_machine("models.tar.xz") else 1e-4


@pytest.mark.parametrize("name", CONFIGS)
def test_configuration_weights_and_fingerprint(name: str) -> None:
    assert list(differences(RECORDS["models"][name], told(name))) == []


@pytest.mark.parametrize("name", FILES)
def test_a_file_opens_and_embeds_the_same(name: str, models: Path) -> None:
    with one_thread():
        now = opened(models / f"{name}.safetensors")
    assert list(differences(RECORDS["files"][name], now, relative=RELATIVE)) == []


def test_heads_take_what_they_took() -> None:
    assert list(differences(RECORDS["heads"], heads())) == []
