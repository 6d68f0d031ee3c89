"""What answers a search: derived from the store, and made again from it when lost."""
