"""Ranking (1:N): retrieval and open-set identification."""
