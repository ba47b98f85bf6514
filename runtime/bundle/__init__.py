"""Reading bundles: the manifest, the index map's file, and every check before anything runs."""
