"""The images of these tests: of several sizes, in colour."""

from pathlib import Path

import pytest


@pytest.fixture
def images(coloured: list[Path]) -> list[Path]:
    """Return eleven image files of three people."""
    return coloured
