"""Devices: describe a machine, measure how long its steps take, and fit a latency model."""
