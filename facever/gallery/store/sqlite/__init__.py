"""A store in one SQLite file in the gallery's folder."""
