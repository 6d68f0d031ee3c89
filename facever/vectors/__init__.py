"""The EmbeddingSet and its files."""
