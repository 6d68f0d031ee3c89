"""Tests, mirrored after the package; helpers that several of them share lie here."""
