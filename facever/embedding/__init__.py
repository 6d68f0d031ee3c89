"""Extraction: images to an EmbeddingSet."""
