"""Names of the export backends. They have a file of their own so that the command line starts without onnx-ir."""

BUILDER, OPTIMUM = EXPORT_BACKENDS = ("builder", "optimum")
"""The makers of the float graph: onnxruntime-genai's model builder, or Optimum in an environment of its own."""
