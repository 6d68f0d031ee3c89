"""Galleries of embeddings: a transactional store and its derived FAISS index."""
