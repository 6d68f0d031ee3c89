"""The search index: derived from the store, and rebuilt from it when it is missing or damaged."""
