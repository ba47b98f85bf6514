"""One file per command; each parses its own options and calls the library."""
