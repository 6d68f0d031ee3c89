"""Defaults that the command line names in its help; nothing is imported here."""

DEFAULT_FARS = (1e-2, 1e-3, 1e-4)
"""The FAR targets of a verification."""
