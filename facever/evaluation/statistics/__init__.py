"""From counted trials to curves and intervals."""
