"""Statistics of trials: curves and intervals."""
