"""edgedraft: trim a drafter's vocabulary for your domain and device, run it there, and measure what it gains."""

__version__ = "0.1.0"
