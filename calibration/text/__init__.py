"""Counting the assistant's tokens in conversations: spans, words, checkpoints, shards."""
