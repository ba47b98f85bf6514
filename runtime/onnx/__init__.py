"""ONNX Runtime: sessions, keys and values, and execution providers."""
