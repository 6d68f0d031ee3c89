"""From vectors to trials: which pairs are compared, by what, block by block."""
