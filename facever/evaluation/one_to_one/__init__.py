"""Verification (1:1): rates at thresholds, by group, compared and calibrated."""
