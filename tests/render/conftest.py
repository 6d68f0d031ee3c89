"""The reader of pages."""

from tests.report.conftest import read_page_fixture

__all__ = ["read_page_fixture"]
