"""The law of validation: errors are what the others cannot tell; 5 strict rows make a class; misses have reasons."""

import re

import pytest

from edgedraft.devices.priors.published import shipped_speeds
from edgedraft.devices.priors.validation import ClassErrors, error_table, validate
from tests.devices.priors.worlds import gpu_world, row


@pytest.fixture(scope="module")
def shipped():
    return {errors.name: errors for errors in validate(shipped_speeds())}


def test_a_world_that_follows_the_formula_has_no_errors():
    (errors, total) = validate(gpu_world())
    assert (errors.name, errors.rows, errors.devices, total.name) == ("GPU maker engine", 32, 8, "GPU total")
    assert errors.median_error < 0.01
    assert errors.ninth_decile_error < 0.02


def test_errors_are_of_speed_relative_to_the_measured_one():
    speeds = gpu_world()
    slow = [row("slow", s.weight_bytes, 2 * s.seconds, software="other") for s in speeds[:4]]
    slow.append(row("slow", 2_000_000_000, 2 * (0.003 + 2 / 80), software="other"))
    found = {errors.name: errors for errors in validate([*speeds, *slow])}
    errors = found["GPU maker other"]
    assert errors.median_error == pytest.approx(1.0, abs=0.15)
    assert errors.shape_error < 0.1
    assert errors.reason.startswith("slow takes 1.9")


def test_too_few_rows_and_rows_that_are_not_strict_are_not_judged():
    speeds = gpu_world()
    few = [row("few", s.weight_bytes, s.seconds, software="few") for s in speeds[:4]]
    loose = [row("loose", s.weight_bytes, s.seconds, software="loose", strict=False) for s in speeds[:8]]
    assert [(errors.name, errors.rows) for errors in validate([*speeds, *few, *loose])] == [
        ("GPU maker engine", 32),
        ("GPU total", 36),
    ]


def test_gpu_classes_meet_the_error_targets(shipped):
    judged = {name: errors for name, errors in shipped.items() if name.startswith("GPU")}
    assert judged.keys() >= {"GPU amd current", "GPU apple current", "GPU intel current", "GPU total"}
    assert all(errors.median_error <= 0.10 for errors in judged.values())
    assert all(errors.ninth_decile_error <= 0.30 for errors in judged.values())
    assert all(errors.holds >= 0.70 for errors in judged.values())


def test_cpu_classes_miss_and_say_why(shipped):
    judged = {name: errors for name, errors in shipped.items() if name.startswith("CPU")}
    assert judged.keys() >= {"CPU llama.cpp", "CPU total"}
    assert all(errors.median_error > 0.10 for errors in judged.values())
    reasons = [errors.reason for name, errors in judged.items() if name != "CPU total"]
    known = r"devices reach \d+% to \d+% of their peak bandwidth|no file was published for two devices"
    assert all(re.search(known, reason) for reason in reasons), reasons
    assert 0.70 <= judged["CPU total"].holds <= 0.90


def test_the_table_prints_shares_in_percent_and_what_was_missed():
    errors = ClassErrors(
        name="GPU a b",
        rows=7,
        devices=2,
        median_error=0.0512,
        ninth_decile_error=0.2,
        holds=0.857,
        shape_error=0.01,
        reason="",
    )
    header, rows = error_table([errors])
    assert rows == (("GPU a b", "7", "2", "5.1%", "20.0%", "86%", "1.0%", "met"),)
    assert len(header) == len(rows[0])
