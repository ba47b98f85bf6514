"""Short names of the execution providers that the code treats specially."""

CPU, WEBGPU, WASM = "cpu", "webgpu", "wasm"

BROWSERS = (WEBGPU, WASM)
"""The providers that a browser has; the first there is for Python too."""
