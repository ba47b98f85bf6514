"""Errors by runtime: devices weigh the same however often they were measured, and forks are told apart from names."""

from dataclasses import replace

import pytest

from edgedraft.devices.priors.engines import engine_errors, engine_table, weighted_quantile
from edgedraft.devices.priors.leave_one_out import RowError
from edgedraft.devices.priors.published import shipped_speeds
from edgedraft.devices.priors.validation import JudgedRow

SPEED = shipped_speeds()[0]


def row(device: str, runtime: str, log_error: float, log_reach: float = 0.5) -> JudgedRow:
    speed = replace(SPEED, device=device, runtime=runtime)
    return JudgedRow(error=RowError(speed=speed, log_error=log_error), log_reach=log_reach)


def test_a_device_that_was_measured_often_weighs_no_more_than_one_that_was_not():
    often = [row("a", "MLX", 0.01) for _ in range(12)]
    once = [row("b", "MLX", 0.7), row("c", "MLX", -0.7)]
    mlx, whole = engine_errors({"gpu": [*often, *once]})
    assert (mlx.engine, mlx.rows, mlx.devices) == ("MLX", 14, 3)
    # Two of three devices are wrong by half or more: the median device is one of them, though 12 of 14 rows are right.
    assert mlx.median_error == pytest.approx(0.503, abs=1e-3)
    assert mlx.ninth_decile_error == pytest.approx(1.014, abs=1e-3)
    assert mlx.holds == pytest.approx(1 / 3)
    assert replace(whole, engine="MLX") == mlx


def test_builds_of_one_engine_are_one_runtime_and_forks_are_not():
    names = {
        "llama.cpp ROCm 7.2.3": "llama.cpp",
        "Ollama Vulkan": "llama.cpp",
        "ik_llama.cpp": "ik_llama.cpp",
        "OpenVINO GenAI": "OpenVINO",
        "a new one": "a new one",
    }
    assert {name: replace(SPEED, runtime=name).engine for name in names} == names
    found = engine_errors({"gpu": [row("a", name, 0.1) for name in names]})
    assert {each.engine for each in found} == {*names.values(), "all"}


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 1.0), (0.51, 2.0), (1.0, 3.0)])
def test_a_weighted_quantile_counts_weight_and_not_values(share, expected):
    assert weighted_quantile([3.0, 1.0, 1.0, 1.0, 2.0], [0.25, 1 / 6, 1 / 6, 1 / 6, 0.25], share) == expected


def test_the_table_names_backend_and_runtime():
    header, rows = engine_table(engine_errors({"cpu": [row("a", "T-MAC", 0.1)]}))
    assert len(header) == len(rows[0])
    assert [cells[0] for cells in rows] == ["CPU T-MAC", "CPU all"]
