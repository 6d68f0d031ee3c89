"""The store of people, images and their vectors: one SQLite file."""
