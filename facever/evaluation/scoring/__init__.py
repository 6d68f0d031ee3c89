"""Scoring: from vectors to trials, computed by blocks."""
