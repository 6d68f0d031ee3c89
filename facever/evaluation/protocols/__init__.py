"""Protocols: the trials of an evaluation (all pairs, pair lists, official protocols)."""
