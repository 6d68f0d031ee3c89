"""docs/heads.md lists every head as its class declares it."""

import re
from pathlib import Path

from facever.heads.catalogue import catalogue

DOCUMENT = Path(__file__).parents[2] / "docs" / "heads.md"


def test_the_table_names_every_head_with_its_metric_and_batch() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w:]+)` \| (\w+) \| (\d) \| .+ \|$", text, re.MULTILINE)
    declared = [(c.name, c.metric, str(c.images_per_identity)) for c in catalogue()]
    assert sorted(rows) == sorted(declared)
