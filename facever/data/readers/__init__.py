"""Readers of data set layouts: one file per layout, each a function from a root to a Manifest."""
