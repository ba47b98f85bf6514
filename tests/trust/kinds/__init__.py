"""The kinds of trials; every file lists its own in ``KINDS``."""
