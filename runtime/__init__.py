"""The on-device room: read a bundle, run it, draft and verify, measure."""
