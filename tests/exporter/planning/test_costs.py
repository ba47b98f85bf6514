"""Costs: a target's pass costs what the runtime pays for it, the plan keeps what was timed."""

import pytest

from edgedraft.devices.latency import StepModel
from edgedraft.exporter.planning.costs import DRAFT_LENGTHS, PairLatency


def test_a_dear_row_count_is_padded_to_a_cheaper_one():
    stairs = StepModel(
        overhead_seconds=0.0, seconds_per_byte=1e-3, rows=(1, 2, 3, 4, 17), row_factors=(1, 3, 3, 1.5, 2)
    )
    latency = PairLatency(target=stairs, drafter=stairs, target_bytes=1, drafter_bytes=lambda size: size)
    assert [latency.costs.target(rows) for rows in (1, 2, 3, 4)] == pytest.approx([1e-3, 1.5e-3, 1.5e-3, 1.5e-3])
    assert latency.target_pass_seconds[:4] == pytest.approx((1e-3, 3e-3, 3e-3, 1.5e-3))
    assert len(latency.target_pass_seconds) == DRAFT_LENGTHS[-1] + 1
