"""Examine an installation: what is there, what runs, and which line mends what does not."""
