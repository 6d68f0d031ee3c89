"""Which trials embeddings are judged by: pair lists, score files, official protocols."""
