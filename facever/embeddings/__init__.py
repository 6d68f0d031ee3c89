"""Embedding sets: one unit vector per image, with its row, in memory and in files."""
