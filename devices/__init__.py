"""The device room: what a machine is, how long its steps take, and the latency model fitted to both."""
