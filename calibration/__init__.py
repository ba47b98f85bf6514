"""Calibration: read prompts, sample target and drafter on them, count tokens, keep the acceptance trace."""
