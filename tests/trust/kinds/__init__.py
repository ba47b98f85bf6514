"""The kinds of trials; every file names its own in ``KINDS``."""
