"""Short names of the execution providers that the code treats specially."""

CPU, WEBGPU = "cpu", "webgpu"
