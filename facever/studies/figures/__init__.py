"""Figures of a model or a data set, with their numbers."""
