"""Tuning a bundle where it runs: time its passes, choose how to draft by its forecasts, and keep the choice."""
