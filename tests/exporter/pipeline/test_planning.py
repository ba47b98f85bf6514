"""Planning a pair: by timing it here, or by the latency model of a device that is not here; drawn answers too."""

import time
from dataclasses import replace

import numpy as np
import pytest

from edgedraft.calibration.answers.batched import Draws
from edgedraft.devices.latency import LatencyModel, StepModel
from edgedraft.devices.registry import find_profile
from edgedraft.exporter.bundle.contents import bundle_contents
from edgedraft.exporter.pipeline.calibrating import AnswerSettings, calibrate_pair
from edgedraft.exporter.pipeline.planning import PlanningRequest, plan_elsewhere, plan_grid, plan_here
from edgedraft.exporter.pipeline.remote_device import LatencyForecast
from edgedraft.exporter.planning.planner import candidate_sizes
from edgedraft.exporter.planning.ranking import token_order
from edgedraft.exporter.planning.replay import DRAFT_LENGTHS
from edgedraft.exporter.planning.scan import tiled_sizes
from edgedraft.exporter.planning.scoring import PlanLimits
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.sampling import SamplingSettings

EVERYTHING = PlanningRequest()


def device(slope: float, **facts) -> LatencyForecast:
    """A device that reads 10 GB/s and whose further rows cost ``slope`` of the first."""
    model = StepModel(overhead_seconds=0.0, seconds_per_byte=1e-10, rows=(1, 17), row_factors=(1.0, 1 + 16 * slope))
    latency = LatencyModel(device="a phone", models={("fp32", "cpu"): model})
    profile = find_profile("sd-8-gen-3")
    told = {"profile": profile, "latency": latency, "provider": "cpu", "threads": 3, "basis": "made up"}
    return LatencyForecast(**told | facts)


def test_a_device_with_free_rows_drafts_and_one_with_dear_rows_does_not(tiny_opened, tiny_planned):
    calibration, _ = tiny_planned
    cheap, dear = (plan_elsewhere([tiny_opened], calibration, EVERYTHING, device(s)) for s in (0.0, 1.0))
    assert cheap.plan.predicted_speed_up > dear.plan.predicted_speed_up
    assert not dear.plan.speculate
    assert (cheap.plan.device, cheap.pair) == ("a phone", tiny_opened)
    assert cheap.plan.target_pass_seconds[0] == pytest.approx(1e-10 * tiny_opened.target_size.weight_bytes)


def test_the_plan_for_a_device_is_the_best_of_all_sizes_and_lengths(tiny_opened, tiny_planned):
    calibration, _ = tiny_planned
    planned = plan_elsewhere([tiny_opened], calibration, EVERYTHING, device(0.02))
    latency, best = planned.latency, 0.0
    for size in tiled_sizes(tiny_opened.vocab_size).tolist():
        for length in DRAFT_LENGTHS:
            outcome = planned.replayed(size, length)
            drafting = length * latency.drafter_seconds(size, 1) + latency.target_seconds(length + 1)
            late = latency.drafter_seconds(size, 2) - latency.drafter_seconds(size, 1)
            seconds = outcome.rounds.sum() * drafting + outcome.full_rounds.sum() * late
            best = max(best, outcome.tokens.sum() / seconds)
    assert planned.plan.predicted_tokens_per_second == pytest.approx(best, rel=1e-12)


def test_a_precision_without_a_model_is_refused_by_name(tiny_opened, tiny_planned):
    with pytest.raises(EdgedraftError) as error:
        plan_elsewhere([tiny_opened], tiny_planned[0], EVERYTHING, device(0.1, provider="gpu"))
    assert str(error.value) == "latency of a phone: expected one of fp32 on cpu, got fp32 on gpu"


def test_the_device_says_how_many_threads(tiny_opened, tiny_planned):
    forecast = device(0.1, threads=6)
    assert plan_elsewhere([tiny_opened], tiny_planned[0], EVERYTHING, forecast).plan.threads == 6


def test_drawn_answers_are_weighed_at_a_few_sizes(tiny_opened, tiny_pair, tiny_prompts):
    drawn = AnswerSettings(draws=Draws(settings=SamplingSettings(temperature=0.8), seed=1))
    calibration = calibrate_pair(tiny_opened, tiny_prompts.at_most(3), tiny_pair.cache, settings=drawn)
    planned = plan_elsewhere([tiny_opened], calibration, EVERYTHING, device(0.02))
    assert planned.decision.scored.sizes.tolist() == list(candidate_sizes(tiny_opened.vocab_size))
    assert 1.0 <= planned.plan.predicted_block_efficiency <= 17.0


def test_what_the_user_fixed_is_not_weighed(tiny_opened, tiny_planned):
    request = PlanningRequest(draft_vocab_size=130, draft_length=2, limits=PlanLimits(min_coverage=0.0))
    scored = plan_elsewhere([tiny_opened], tiny_planned[0], request, device(0.1)).decision.scored
    assert (scored.sizes.tolist(), scored.draft_lengths.tolist()) == ([192], [2])


def test_more_threads_are_candidates_beside_the_process_own(tiny_opened, tiny_planned, tmp_path):
    request = PlanningRequest(draft_vocab_size=256, threads=(1,))
    planned = plan_here([tiny_opened], tiny_planned[0], request, time.perf_counter, tmp_path)
    assert {each.setup.threads for each in planned.decision.scored.candidates} == {1, 2}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (PlanningRequest(draft_length=17), "draft length: expected 1..16, got 17"),
        (
            PlanningRequest(draft_vocab_size=2000),
            "draft vocabulary size: expected 1..1024, got 2000 - choose a size within the drafter's vocabulary",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(request_, message):
    with pytest.raises(EdgedraftError) as error:
        plan_grid(1024, None, request_)
    assert str(error.value) == message


def test_the_end_of_turn_leads_the_order(tiny_opened, tiny_planned):
    order = token_order(tiny_opened, tiny_planned[0])
    assert sorted(order.tolist()) == list(range(tiny_opened.vocab_size))
    assert tuple(order[: len(tiny_opened.end_token_ids)]) == tuple(np.sort(tiny_opened.end_token_ids))


# --- rows from the conversation ---------------------------------------------------------------------------------------


def test_rows_raise_acceptance_and_their_cost_is_in_the_plan(tiny_opened, tiny_planned):
    """At one list and draft length: the runtime's rows, replayed, and a slower pass of the drafter."""
    fixed = PlanningRequest(draft_vocab_size=64, draft_length=3)
    plans = [
        plan_elsewhere([tiny_opened], tiny_planned[0], replace(fixed, conversation_rows=rows), device(0.02)).plan
        for rows in (0, 16, 1024)
    ]
    assert [plan.conversation_rows for plan in plans] == [0, 16, 1024]
    efficiencies = [plan.predicted_block_efficiency for plan in plans]
    assert efficiencies[0] < efficiencies[1] <= efficiencies[2]
    row_seconds = 4 * tiny_opened.head_row.parameters * 1e-10
    for plan, rows in zip(plans, (0, 16, 1024), strict=True):
        added = plan.drafter_pass_seconds[0] - plans[0].drafter_pass_seconds[0]
        assert added == pytest.approx(rows * row_seconds, rel=1e-9)


def test_a_plan_says_what_rows_gain_or_would_gain(tiny_opened, tiny_planned):
    """On a device whose passes cost the same whatever they read, so that rows cost nothing."""
    fixed = PlanningRequest(draft_vocab_size=64, draft_length=3)
    model = StepModel(overhead_seconds=1e-3, seconds_per_byte=0.0)
    level = device(0.02, latency=LatencyModel(device="a phone", models={("fp32", "cpu"): model}))
    without, with_them = (
        plan_elsewhere([tiny_opened], tiny_planned[0], replace(fixed, conversation_rows=rows), level).decision
        for rows in (0, 256)
    )
    best, rows = without.best, with_them.best
    advice = (
        f"256 rows from the conversation would make τ {rows.block_efficiency:.2f} of {best.block_efficiency:.2f}, "
        f"{rows.tokens_per_second:.1f} tokens/s: plan with --conversation-rows 256"
    )
    assert without.gives_up[-1] == advice
    said = (
        f"τ {rows.block_efficiency:.2f} with 256 rows from the conversation, {best.block_efficiency:.2f} without them"
    )
    assert said in with_them.gives_up[0] and "are not listed" in with_them.gives_up[0]


def test_forecasts_for_other_sizes_are_of_rows_too(tiny_opened, tiny_planned):
    request = PlanningRequest(draft_length=3, conversation_rows=64)
    planned = plan_elsewhere([tiny_opened], tiny_planned[0], request, device(0.02))
    order = bundle_contents(tiny_planned[0], planned, "tiny").order
    assert order.forecasts.sizes.tolist() == list(candidate_sizes(1024, 256))
    for size in (256, 512):
        forecast = order.forecasts.at(size)
        assert forecast.block_efficiency == pytest.approx(planned.replayed(size, 3).block_efficiency, rel=1e-6)


def test_drawn_answers_are_planned_with_rows(tiny_opened, tiny_pair, tiny_prompts):
    drawn = AnswerSettings(draws=Draws(settings=SamplingSettings(temperature=0.8), seed=1))
    calibration = calibrate_pair(tiny_opened, tiny_prompts.at_most(3), tiny_pair.cache, settings=drawn)
    fixed = PlanningRequest(draft_vocab_size=64, draft_length=3)
    rates = [
        plan_elsewhere([tiny_opened], calibration, replace(fixed, conversation_rows=rows), device(0.02)).plan
        for rows in (0, 8, 64)
    ]
    efficiencies = [plan.predicted_block_efficiency for plan in rates]
    assert 1.0 < efficiencies[0] < efficiencies[1] < efficiencies[2]
