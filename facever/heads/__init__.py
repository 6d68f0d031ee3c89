"""Training criteria, one per file, and their registry."""
