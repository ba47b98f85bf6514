"""Arrays, records, errors, files and progress: what every other part builds on."""
