"""Shapes of LM heads: finding, checking and cutting each; callers use `edgedraft.exporter.graph.head`."""
