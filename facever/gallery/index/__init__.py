"""The search index: derived from the store, and rebuilt from it if it is missing or damaged."""
