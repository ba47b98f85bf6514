"""The decoding algorithm: ports, drafts, verification, sampling, policies. No onnxruntime, no file, no clock."""
