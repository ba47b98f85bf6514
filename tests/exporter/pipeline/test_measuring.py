"""Steps of pairs: each model of each precision once, drafters at several sizes, targets by rows; kept, and refused."""

import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from edgedraft.devices.steps import DRAFTER, TARGET
from edgedraft.exporter.models.pair import PairRequest, prepare_pair
from edgedraft.exporter.pipeline import measuring, step_cases
from edgedraft.exporter.pipeline.measuring import Timing, probe_pairs, probe_with_threads
from edgedraft.exporter.pipeline.step_cases import PROBED_ROWS
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.onnx.session import SessionSettings
from tests.runtime.native.conftest import library  # noqa: F401


@pytest.fixture(scope="module")
def pairs(tiny_pair):
    """The tiny pair in fp32 and with an int8 target."""
    return [
        prepare_pair(
            PairRequest(
                target=str(tiny_pair.target),
                drafter=str(tiny_pair.drafter),
                target_precision=precision,
                drafter_precision="fp32",
                settings=SessionSettings(threads=2, context_length=256),
            ),
            tiny_pair.cache,
        )
        for precision in ("fp32", "int8")
    ]


@pytest.fixture
def timing():
    return Timing(
        order=np.arange(1024), context_ids=list(range(2, 40)), clock=time.perf_counter, repeats=2, most_noise=9
    )


@pytest.fixture
def small_sizes(monkeypatch):
    monkeypatch.setattr(step_cases, "PROBED_SIZES", (128, 512))


def test_every_model_is_timed_once(pairs, timing, small_sizes, tmp_path):
    measured = probe_pairs(pairs, timing, tmp_path)
    found = Counter((step.role, step.precision) for step in measured.steps)
    assert found == {(TARGET, "fp32"): len(PROBED_ROWS), (TARGET, "int8"): len(PROBED_ROWS), (DRAFTER, "fp32"): 4}
    drafts = [(step.weight_bytes, step.rows) for step in measured.steps if step.role == DRAFTER]
    full, *trimmed = dict.fromkeys(size for size, _ in drafts)
    assert [rows for _, rows in drafts] == [1, 2, 1, 1]
    assert trimmed == [pairs[0].trimmed_size(size).weight_bytes for size in (128, 512)]
    assert full == pairs[0].drafter_size.weight_bytes
    assert measured.threads == 2


def test_the_latency_of_a_pair_has_the_bytes_of_its_own_precision(pairs, timing, small_sizes, tmp_path):
    measured = probe_pairs(pairs, timing, tmp_path)
    for pair in pairs:
        (latency,) = measured.latencies(pair)
        assert latency.target_bytes == pair.target_size.weight_bytes
        assert latency.drafter_bytes(128) == pair.trimmed_size(128).weight_bytes
        seconds = next(
            s.seconds for s in measured.steps if (s.role, s.precision, s.rows) == (TARGET, pair.target.precision, 1)
        )
        assert latency.target_seconds(1) == pytest.approx(seconds)


def test_steps_are_measured_once_and_kept(pairs, timing, small_sizes, tmp_path):
    first = probe_pairs(pairs, timing, tmp_path)
    assert probe_pairs(pairs, timing, tmp_path) == first
    assert probe_pairs(pairs[:1], timing, tmp_path) != first, "other pairs are another measurement"


@pytest.fixture
def undecided(library, monkeypatch):  # noqa: F811
    """Leave it to timing which kernels an int8 model takes: stock ones, or the portable ones that run anywhere."""
    monkeypatch.delenv("EDGEDRAFT_KERNELS", raising=False)
    monkeypatch.setattr(type(library), "default", lambda self: "stock")
    monkeypatch.setattr(type(library), "undecided", lambda self: ("stock", "portable"))


def test_kernels_that_nobody_measured_are_timed_beside_stock(pairs, timing, small_sizes, undecided, tmp_path):
    measured = probe_pairs(pairs[1:], timing, tmp_path)
    timed = {(step.role, step.kernels) for step in measured.steps}
    assert timed == {(TARGET, "stock"), (TARGET, "portable"), (DRAFTER, "stock")}, "fp32 has no choice"
    both = measured.latencies(pairs[1])
    assert [each.kernels.target for each in both] == ["stock", "portable"]
    seconds = {step.kernels: step.seconds for step in measured.steps if (step.role, step.rows) == (TARGET, 1)}
    assert [each.target_seconds(1) for each in both] == pytest.approx([seconds["stock"], seconds["portable"]])


def test_times_of_other_kernels_are_measured_again(pairs, timing, small_sizes, library, tmp_path, monkeypatch):  # noqa: F811
    for forced in ("portable", "stock", "portable"):
        monkeypatch.setenv("EDGEDRAFT_KERNELS", forced)
        monkeypatch.setattr(type(library), "chosen", lambda self, name=forced: name)
        measured = probe_pairs(pairs[1:], timing, tmp_path)
        assert {step.kernels for step in measured.steps if step.role == TARGET} == {forced}
    assert len(list(tmp_path.rglob("*.json"))) == 2


def test_times_of_a_noisy_machine_are_not_kept(pairs, timing, small_sizes, tmp_path):
    probe_pairs(pairs, replace(timing, most_noise=-1), tmp_path)
    assert not list(tmp_path.rglob("*.json"))


def test_passes_are_timed_behind_those_that_precede_them(pairs, timing, small_sizes):
    _, cases = step_cases.step_cases(pairs, timing.order)
    behind = {(case.role, case.precision, case.rows): case.after for case in cases}
    assert behind[TARGET, "int8", 1] == "target int8"
    assert behind[TARGET, "int8", 4] == "drafter fp32"
    assert behind[DRAFTER, "fp32", 1] == "target int8"


def test_another_number_of_threads_is_measured_in_a_process_of_its_own(pairs, timing, tmp_path):
    measured = probe_with_threads(pairs[:1], timing, 1, tmp_path)
    assert measured.threads == 1
    assert {step.role for step in measured.steps} == {TARGET, DRAFTER}
    assert all(step.seconds > 0 for step in measured.steps)


def test_models_that_memory_cannot_hold_together_are_refused(pairs, timing, tmp_path, monkeypatch):
    monkeypatch.setattr(measuring.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 10**3})())
    with pytest.raises(EdgedraftError) as error:
        probe_pairs(pairs, timing, tmp_path)
    assert str(error.value) == (
        "step times: the models need 0.0 GiB of memory together, got 0.0 GiB free - plan fewer precisions at once"
    )
