"""The execution providers that a browser has; the first there is for Python too."""

WEBGPU, WASM = BROWSERS = ("webgpu", "wasm")
