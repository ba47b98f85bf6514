"""Shapes of LM heads: how each is found, checked and cut; `edgedraft.exporter.head` is the front door."""
