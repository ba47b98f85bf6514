"""Calibrating, timing and planning drafters that read the target's states: from a checkpoint to a plan."""

import time
from dataclasses import replace

import numpy as np
import pytest

from edgedraft.calibration.answers.batched import Draws
from edgedraft.calibration.run import TRACED_DEPTHS
from edgedraft.calibration.saved import load_calibration, save_calibration
from edgedraft.devices.latency import LatencyModel, StepModel
from edgedraft.devices.registry import find_profile
from edgedraft.devices.steps import DRAFTER, READING, TARGET
from edgedraft.exporter.models.convert import convert
from edgedraft.exporter.models.eagle.converting import convert_layer
from edgedraft.exporter.models.eagle.pair import EaglePair
from edgedraft.exporter.models.sources import resolve
from edgedraft.exporter.pipeline import step_cases
from edgedraft.exporter.pipeline.calibrating import AnswerSettings, calibrate_pair, require_trace_of
from edgedraft.exporter.pipeline.layer_steps import READING_ROWS
from edgedraft.exporter.pipeline.measuring import Timing, probe_pairs
from edgedraft.exporter.pipeline.planning import PlanningCase, PlanningRequest, plan_cases_here, plan_elsewhere
from edgedraft.exporter.pipeline.remote_device import LatencyForecast
from edgedraft.exporter.planning.drafters import LOOKUP, NONE, compare_drafters, fastest
from edgedraft.exporter.planning.ranking import token_order
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.onnx.session import SessionSettings
from tests.laws.agreeing_eagle import AGREEING, save_pair

ALL = ("target", "drafter", "accepted")


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_pair):
    """Both kinds of layers for one target, whose tokenizer is the tiny pair's; converted."""
    root = tmp_path_factory.mktemp("layers")
    folders = save_pair(root, tiny_pair.target)
    target = convert(resolve(str(folders["target"]), root / "cache"), "fp32", root / "cache")
    pairs = {}
    for name in AGREEING:
        layer = convert_layer(resolve(str(folders[name]), root / "cache"), target, "fp32")
        pairs[name] = EaglePair(target, layer, SessionSettings(threads=2, context_length=256))
    return pairs


@pytest.fixture(scope="module")
def few(tiny_prompts):
    return replace(tiny_prompts.at_most(6), max_new_tokens=24)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def calibrated(made, few, cache):
    return {name: calibrate_pair(made[name], few, cache, settings=AnswerSettings(sources=ALL)) for name in made}


@pytest.mark.parametrize("name", AGREEING)
def test_sources_count_what_they_say(name, made, calibrated):
    """The drafter's counts are its first choices along the target's answers, all of them among its own tokens."""
    counts = calibrated[name].ranking
    assert list(counts) == list(ALL)
    answers = counts["target"].prompts
    assert counts["drafter"].tokens == counts["target"].tokens - answers
    assert 0 < counts["accepted"].tokens < counts["drafter"].tokens
    assert (counts["accepted"].counts <= np.minimum(counts["target"].counts, counts["drafter"].counts)).all()
    outside = np.setdiff1d(np.arange(made[name].vocab_size), made[name].head_ids)
    assert not counts["drafter"].counts[outside].any()
    assert calibrated[name].trace.most_drafts == TRACED_DEPTHS


def test_drafters_of_one_target_share_its_answers(made, few, cache, calibrated, monkeypatch):
    first, other = (calibrated[name].scoring_answers for name in made)
    assert first == other
    assert len(list((cache / "answers").iterdir())) == 1
    monkeypatch.setattr(EaglePair, "target_graph", None)
    monkeypatch.setattr(EaglePair, "target_model", None)
    again = calibrate_pair(made["EAGLE-3"], few, cache, settings=AnswerSettings(sources=ALL))
    assert np.array_equal(again.trace.deeper[2].ids, calibrated["EAGLE-3"].trace.deeper[2].ids)


def test_drawn_answers_are_traced_by_depth_too(made, few, cache):
    draws = Draws(settings=SamplingSettings(temperature=0.8), seed=1)
    settings = AnswerSettings(sources=("target",), draws=draws)
    drawn = calibrate_pair(made["EAGLE-3"], few.at_most(2), cache, settings=settings)
    assert drawn.trace.settings == draws.settings
    planned = plan_elsewhere([made["EAGLE-3"]], drawn, PlanningRequest(), device())
    assert 1 <= planned.plan.draft_length <= TRACED_DEPTHS


def device() -> LatencyForecast:
    """A device that reads 10 GB/s; a further row costs a twentieth of the first, and a decoder has 1.3 ms overhead."""
    model = StepModel(overhead_seconds=1.3e-3, seconds_per_byte=1e-10, rows=(1, 17), row_factors=(1.0, 1.8))
    latency = LatencyModel(device="a phone", models={("fp32", "cpu"): model})
    profile = find_profile("sd-8-gen-3")
    return LatencyForecast(profile=profile, latency=latency, provider="cpu", threads=2, basis="made up")


@pytest.mark.parametrize("name", AGREEING)
def test_a_device_that_is_not_here_forecasts_a_layer_by_its_bytes(name, made, calibrated):
    pair = made[name]
    planned = plan_elsewhere([pair], calibrated[name], PlanningRequest(), device())
    costs = planned.latency.draft_costs(64)
    own = pair.trimmed_size(64).weight_bytes * 1e-10
    assert costs.next == pytest.approx(1.3e-3 * 6 / 130 + own)
    fusing = 1e-10 * 4 * 3 * 128 * 128 if name == "EAGLE-3" else 0.0
    assert costs.first - costs.next == pytest.approx(fusing)
    assert costs.per_accepted > 0
    assert planned.decision.scored.draft_lengths.tolist() == list(range(1, TRACED_DEPTHS + 1))
    assert planned.plan.speculate


def test_draft_lengths_beyond_the_trace_are_refused(made, calibrated):
    with pytest.raises(EdgedraftError, match=r"draft length: expected 1\.\.8, got 9"):
        plan_elsewhere([made["EAGLE-3"]], calibrated["EAGLE-3"], PlanningRequest(draft_length=9), device())


@pytest.fixture
def small_sizes(monkeypatch):
    monkeypatch.setattr(step_cases, "PROBED_SIZES", (128, 512))


def test_the_steps_of_all_drafters_are_timed_in_one_run(made, calibrated, small_sizes, tmp_path):
    pairs = list(made.values())
    order = token_order(pairs[0], calibrated["EAGLE-2"])
    timing = Timing(order=order, context_ids=list(range(2, 40)), clock=time.perf_counter, repeats=2, most_noise=9)
    measured = probe_pairs(pairs, timing, tmp_path)
    for pair in pairs:
        drafts = [step for step in measured.steps if step.conversion == pair.drafter.key]
        own = [(step.weight_bytes, step.rows) for step in drafts if step.role == DRAFTER]
        sizes = [pair.trimmed_size(size).weight_bytes for size in (128, 512, pair.most_draft_tokens)]
        assert own == [(size, 1) for size in sizes]
        reading = [(step.weight_bytes, step.rows) for step in drafts if step.role == READING]
        assert reading == [(sizes[0], rows) for rows in READING_ROWS]
        (latency,) = measured.latencies(pair)
        assert latency.reading is not None
        assert latency.draft_costs(128).first >= latency.draft_costs(128).next > 0
    assert len({step.conversion for step in measured.steps if step.role == TARGET}) == 1
    assert probe_pairs(pairs, timing, tmp_path) == measured


def test_drafters_are_weighed_by_their_own_traces(made, calibrated, small_sizes, tmp_path):
    cases = [
        PlanningCase(pairs=(made[name],), calibration=calibrated[name], request=PlanningRequest()) for name in made
    ]
    plans = plan_cases_here(cases, time.perf_counter, tmp_path)
    answers = calibrated["EAGLE-2"].scoring_answers
    comparison = compare_drafters(plans, fastest(plans), answers)
    assert {(each.drafter, each.kind) for each in comparison.options} == {
        ("eagle-2", "eagle"),
        ("eagle-3", "eagle3"),
        (LOOKUP, LOOKUP),
        (NONE, NONE),
    }
    assert sum(each.taken for each in comparison.options) == 1


def test_a_saved_calibration_keeps_its_depths_and_belongs_to_its_kind(made, calibrated, tiny_opened, tmp_path):
    save_calibration(tmp_path / "mine", calibrated["EAGLE-3"], made["EAGLE-3"].end_token_ids)
    found = load_calibration(tmp_path / "mine").trace
    assert found.most_drafts == TRACED_DEPTHS
    require_trace_of(made["EAGLE-2"], found, "--calibration mine")
    with pytest.raises(EdgedraftError, match="--calibration mine: expected the trace of an independent drafter, got"):
        require_trace_of(tiny_opened, found, "--calibration mine")
