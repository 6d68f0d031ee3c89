"""Files of embeddings that other tools wrote: read in blocks, and imported as embedding sets."""
