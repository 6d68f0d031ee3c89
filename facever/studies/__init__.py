"""Studies: bake-offs, figures, what an index costs."""
