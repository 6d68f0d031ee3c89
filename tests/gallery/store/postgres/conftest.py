"""Stores in PostgreSQL, and nothing else: these tests look into the server."""

import pytest


@pytest.fixture
def kind() -> str:
    return "postgres"
