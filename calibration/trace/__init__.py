"""Acceptance traces: what the drafter would have proposed along the target's answers."""
