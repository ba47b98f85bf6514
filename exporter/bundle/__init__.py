"""Bundles: writing, trimming to another size, model cards and uploads."""
