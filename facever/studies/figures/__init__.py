"""Figures of a model or a data set: numbers and drawing."""
