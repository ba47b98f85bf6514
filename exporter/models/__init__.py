"""Models: sources, downloads, conversion to ONNX, pairs and tokenizers."""
