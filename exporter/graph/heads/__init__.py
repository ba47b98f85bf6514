"""Shapes of LM heads: how each is found, checked and cut; `edgedraft.exporter.graph.head` is the front door."""
