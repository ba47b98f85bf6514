"""The runtime on the device: read a bundle, run it, draft and verify, measure."""
