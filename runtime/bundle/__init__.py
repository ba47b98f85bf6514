"""Reading bundles: the manifest, the index map file, and the checks before anything runs."""
