"""Reports: what a command printed, with pictures, as one HTML page without scripts or other files."""
