"""Measuring this machine: what is timed, in which processes, how far it can be trusted, and the profile it makes."""
