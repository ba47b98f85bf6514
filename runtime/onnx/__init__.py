"""ONNX Runtime sessions, their key and value memory, and execution providers."""
