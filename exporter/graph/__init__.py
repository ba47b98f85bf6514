"""ONNX graph surgery with onnx-ir: loading, heads, packing, preparing for a provider."""
