"""Stores that are SQLite files, and nothing else: these tests look into the files."""

import pytest


@pytest.fixture
def kind() -> str:
    return "sqlite"
