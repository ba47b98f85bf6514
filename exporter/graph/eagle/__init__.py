"""EAGLE drafters: one decoder layer that reads the target's hidden states. Their checkpoints and graphs."""
