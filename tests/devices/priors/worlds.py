"""Made-up worlds: published speeds drawn from a known formula, for the tests of fits, priors and validation."""

import math

from edgedraft.devices.priors.published import PublishedSpeed


def row(device, weight_bytes, seconds, **changes):
    values = {
        "device": device,
        "backend": "gpu",
        "hardware": "maker",
        "software": "engine",
        "runtime": "engine 1",
        "model": f"model of {weight_bytes}",
        "format": "q",
        "packing": "4-bit",
        "parameters": 2 * weight_bytes,
        "weight_bytes": weight_bytes,
        "context_bytes": 0,
        "tokens_per_second": 1 / seconds,
        "threads": None,
        "peak_gigabytes_per_second": 100.0,
        "reached_gigabytes_per_second": None,
        "strict": True,
        "bytes_known": True,
        "bytes_basis": "file",
        "source": "made up",
    }
    return PublishedSpeed(**(values | changes))


SIZES = (500_000_000, 1_000_000_000, 4_000_000_000, 8_000_000_000)


def gpu_world(devices=8, alpha=0.8, overhead=0.003, scatter=0.0, **changes):
    """Devices whose alpha is off by up to ``scatter`` in logarithm, alternately up and down."""
    rows = []
    for i in range(devices):
        off = scatter * (-1) ** i * (1 + i // 2) / max(devices // 2, 1)
        seconds = [overhead + size / (alpha * math.exp(off) * 100e9) for size in SIZES]
        rows += [row(f"gpu-{i}", size, took, **changes) for size, took in zip(SIZES, seconds, strict=True)]
    return rows
