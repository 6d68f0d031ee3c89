"""Embedding sets: one unit vector per image, its rows, and the files that hold them."""
