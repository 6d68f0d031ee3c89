"""The truth about people, images and their vectors: one SQLite file."""
