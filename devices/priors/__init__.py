"""Predict devices that were never measured: published speeds, the model fitted to them, its validation."""
