"""EAGLE checkpoints as trainers write them, read into one record."""
