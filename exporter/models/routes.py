"""The export routes by name: who makes the float graph of a model that is not ONNX yet."""

BUILDER, OPTIMUM = "builder", "optimum"

ROUTES = (BUILDER, OPTIMUM)
"""onnxruntime-genai's model builder, and Optimum in an environment of its own."""
