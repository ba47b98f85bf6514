"""Published methods, reproduced: VocabTrim's modelled speed-up, and coverage balanced against draft latency."""
