"""The trainer, the steps it runs, checkpoints."""
