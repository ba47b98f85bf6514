"""The law of the forecasts: at every size it says what planning that size would have said."""

import dataclasses

import numpy as np
import pytest

from edgedraft.exporter.bundle.contents import bundle_contents, coverage_interval
from edgedraft.exporter.bundle.forecasts import coverage_intervals, order_with_forecasts
from edgedraft.exporter.planning.ranking import coverage
from edgedraft.exporter.planning.scan import tiled_sizes
from edgedraft.exporter.planning.scoring import predicted_seconds

SIZES = (64, 192, 256, 960, 1024)


def test_intervals_of_all_sizes_are_those_of_each_alone(tiny_planned):
    calibration, planned = tiny_planned
    found = coverage_intervals(calibration.scoring_answers, planned.order, np.array(SIZES))
    for size, (low, high) in zip(SIZES, found.tolist(), strict=True):
        assert (low, high) == pytest.approx(coverage_interval(calibration.scoring_answers, planned.order[:size]))


def test_every_size_is_foreseen_though_the_plan_fixed_one(tiny_planned):
    calibration, planned = tiny_planned
    assert len(planned.decision.scored.sizes) == 1
    order = order_with_forecasts(calibration, planned)
    assert order.token_ids.tolist() == planned.order.tolist()
    assert order.forecasts.sizes.tolist() == tiled_sizes(1024).tolist()
    length, latency = planned.plan.draft_length, planned.latency
    for size in SIZES:
        found, outcome = order.forecasts.at(size), planned.replayed(size, length)
        assert found.coverage == pytest.approx(coverage(calibration.scoring, planned.order, size))
        assert found.coverage_low <= found.coverage <= found.coverage_high
        assert found.block_efficiency == pytest.approx(outcome.block_efficiency)
        assert found.acceptance_rate == pytest.approx(outcome.acceptance_rate)
        seconds = predicted_seconds(outcome, size, length, latency).sum()
        assert found.tokens_per_second == pytest.approx(outcome.tokens.sum() / seconds)
        assert found.drafter_pass_seconds == pytest.approx([latency.drafter_seconds(size, rows) for rows in (1, 2)])


def test_at_the_plans_own_size_it_is_the_plan(tiny_planned):
    calibration, planned = tiny_planned
    plan, found = planned.plan, order_with_forecasts(calibration, planned).forecasts.at(planned.plan.draft_vocab_size)
    assert found.tokens_per_second == pytest.approx(plan.predicted_tokens_per_second)
    assert found.block_efficiency == pytest.approx(plan.predicted_block_efficiency)
    assert found.drafter_pass_seconds == pytest.approx(plan.drafter_pass_seconds)


def test_the_bundles_contents_carry_it(tiny_planned):
    contents = bundle_contents(*tiny_planned, "prompts")
    assert contents.order.kept(contents.plan.draft_vocab_size).target_ids.tolist() == (
        contents.index_map.target_ids.tolist()
    )


def test_drawn_answers_are_foreseen_where_they_were_weighed(tiny_planned):
    """Their replays take long: no other sizes are replayed for a trim that may never come."""
    calibration, planned = tiny_planned
    drawn = dataclasses.replace(calibration, trace=object())
    assert order_with_forecasts(drawn, planned).forecasts.sizes.tolist() == planned.decision.scored.sizes.tolist()
