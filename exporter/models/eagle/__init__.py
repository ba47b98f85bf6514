"""Read the EAGLE checkpoints of several trainers into one record."""
