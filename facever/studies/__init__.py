"""Studies: bake-offs, figures, tuning of indexes."""
