"""What development identities decide: the best weights and the operating point."""
