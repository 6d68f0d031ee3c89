"""What several heads have in common: their families, what they mine, measure and average."""
