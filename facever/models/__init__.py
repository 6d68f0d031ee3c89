"""The Embedder: a timm backbone and a neck, loaded and saved with its preprocessing."""
