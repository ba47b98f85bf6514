"""EAGLE drafters: one decoder layer that reads the target's states; what it is made of, and its graphs."""
