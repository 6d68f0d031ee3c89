"""From scores to rates: NumPy and pandas, no model and no image."""
