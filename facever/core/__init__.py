"""Foundations of all rooms: files, texts, seeds, the console, processes."""
