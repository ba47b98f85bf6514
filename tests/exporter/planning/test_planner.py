"""The law of planning: of all options the plan takes the fastest within the limits, and drafts only where it pays."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.exporter.planning.planner import WORTHWHILE_SPEED_UP, candidate_sizes, decide
from edgedraft.exporter.planning.scoring import PlanLimits, Setup

ANSWERS = [[64, 64, 128, 64, 64, 0]] * 8
EVERYTHING = PlanLimits()
INT8 = Setup(target_precision="int8", drafter_precision="int4", threads=2)


COVERED = np.array([0.5, 0.8, 1.0])


@pytest.fixture
def planned(make_candidate, replayed_answers, linear):
    """Decide over candidates given as (target ms, row slope, drafter ms) each; facts of a candidate may follow."""

    def make(*latencies, limits=EVERYTHING, answers=ANSWERS):
        candidates = [
            make_candidate(target=linear(ms, slope), drafter=linear(drafting, 0.1), **(facts[0] if facts else {}))
            for ms, slope, drafting, *facts in latencies
        ]
        made = replayed_answers(answers, COVERED)
        return decide(candidates, made, limits, "a laptop", np.random.default_rng(0))

    return make


def test_candidate_sizes_are_about_two_a_doubling():
    assert candidate_sizes(16384) == (1024, 1472, 2048, 2944, 4096, 5824, 8192, 11648, 16384)
    assert candidate_sizes(1000) == (1000,)
    assert candidate_sizes(1) == (1,)


@given(st.integers(1, 400_000))
def test_candidate_sizes_are_sorted_whole_tiles_up_to_the_vocabulary(vocab_size):
    sizes = candidate_sizes(vocab_size)
    assert list(sizes) == sorted(set(sizes))
    assert sizes[-1] == vocab_size
    assert all(size % 64 == 0 and size >= 1024 for size in sizes[:-1])


def test_the_plan_is_the_fastest_option(planned):
    decision = planned((20, 0.1, 2))
    assert decision.best == next(decision.scored.ranked())
    assert decision.plan.speculate
    plan, best = decision.plan, decision.best
    assert (plan.draft_vocab_size, plan.draft_length) == (best.draft_vocab_size, best.draft_length)
    assert plan.predicted_tokens_per_second == best.tokens_per_second > plan.predicted_plain_tokens_per_second
    assert plan.predicted_plain_tokens_per_second == pytest.approx(50.0)
    assert (plan.target_precision, plan.drafter_precision, plan.threads, plan.device) == ("int4", "int4", 2, "a laptop")
    assert (plan.speed_up_low, plan.speed_up_high) == (
        decision.uncertainty.speed_up.low,
        decision.uncertainty.speed_up.high,
    )


def test_verification_that_costs_as_much_as_decoding_is_refused_with_the_sums(planned):
    decision = planned((20, 1.0, 5))
    assert not decision.plan.speculate
    assert decision.plan.reason == (
        "do not speculate: a round of 1 draft takes 5 ms of drafting and 40 ms of verifying and yields "
        f"{decision.best.block_efficiency:.2f} tokens, {decision.best.tokens_per_second:.1f} tokens/s; "
        "the target alone makes 50.0 tokens/s; speed-up "
        f"{decision.uncertainty.speed_up.value:.2f} [{decision.uncertainty.speed_up.low:.2f}–"
        f"{decision.uncertainty.speed_up.high:.2f}], 0% likely to pay"
    )


@pytest.mark.parametrize("wanted", [1.02, 1.04])
def test_a_gain_must_be_worth_it(planned, wanted):
    """Drafts that cost nothing but a slope: where the best gain is 2 %, none; at 4 %, yes."""
    lo, hi = 0.0, 3.0
    for _ in range(20):  # to three parts in a million
        slope = (lo + hi) / 2
        decision = planned((20, slope, 0.5))
        gain = next(decision.scored.ranked()).tokens_per_second / 50.0
        lo, hi = (slope, hi) if gain > wanted else (lo, slope)
    assert WORTHWHILE_SPEED_UP == 1.03
    assert planned((20, lo, 0.5)).plan.speculate is (wanted > WORTHWHILE_SPEED_UP)


def test_drafting_must_beat_the_fastest_plain_decoding_of_all_precisions(planned):
    fast_plain, cheap_rows = (20, 1.0, 1), (60, 0.0, 1, {"setup": INT8})
    assert planned(cheap_rows).plan.speculate
    decision = planned(fast_plain, cheap_rows)
    alone = decision.plan.predicted_plain_tokens_per_second
    assert alone == pytest.approx(50.0)
    assert next(decision.scored.ranked()).tokens_per_second < WORTHWHILE_SPEED_UP * alone
    assert not decision.plan.speculate
    assert decision.plan.target_precision == "int4", "a plan that does not draft takes the fastest plain target"


def test_a_precision_with_cheap_rows_wins_where_drafts_are_right(planned):
    decision = planned((20, 1.0, 1), (25, 0.0, 1, {"setup": INT8}))
    assert decision.plan.speculate
    assert decision.plan.target_precision == "int8"
    assert decision.best.setup == INT8


def test_the_runner_up_is_another_plan_not_a_neighbour(planned):
    decision = planned((20, 0.1, 2))
    second, best = decision.runner_up, decision.best
    assert second.tokens_per_second <= best.tokens_per_second
    same_slope = (second.setup, second.draft_length) == (best.setup, best.draft_length)
    assert not same_slope or max(second.draft_vocab_size, best.draft_vocab_size) > 2 * min(
        second.draft_vocab_size, best.draft_vocab_size
    )


def test_what_a_plan_gives_up_is_told(planned):
    rare = [[64, 128, 128, 64, 64, 0]] * 8
    decision = planned((20, 0.1, 2), limits=PlanLimits(memory_bytes=10**9 + 64_000), answers=rare)
    free = planned((20, 0.1, 2), answers=rare).best
    assert (decision.best.draft_vocab_size, free.draft_vocab_size) == (64, 128)
    full = decision.scored.option(0, 2, decision.best.draft_length - 1).block_efficiency
    assert decision.gives_up == (
        f"50.00% of held-out tokens cannot be drafted: τ {decision.best.block_efficiency:.2f} instead of "
        f"{full:.2f} with all 256 tokens",
        f"the limits cost {free.tokens_per_second / decision.best.tokens_per_second - 1:.1%} of speed: without them "
        f"128 draft tokens, draft length {free.draft_length} (target int4, drafter int4, 2 threads) would make "
        f"{free.tokens_per_second:.1f} tokens/s in {free.memory_bytes / 2**30:.2f} GiB",
    )


def test_memory_beyond_the_leanest_plan_is_told(planned):
    big = {"setup": INT8, "memory": 3 * 10**9}
    decision = planned((50, 0.1, 2), (20, 0.1, 2, big))
    assert decision.best.setup == INT8
    more = (decision.best.memory_bytes - (10**9 + 64_000)) / 2**20
    assert f"{more:,.0f} MiB of memory more than the leanest plan" in decision.gives_up


def test_the_plan_carries_pass_times_for_the_adaptive_policy(planned):
    plan = planned((20, 0.5, 2)).plan
    assert plan.target_pass_seconds[:3] == pytest.approx((0.020, 0.030, 0.040))
    one, two = plan.drafter_pass_seconds
    assert two == pytest.approx(1.1 * one)


def test_the_same_inputs_give_the_same_plan(planned):
    assert planned((20, 0.1, 2)).plan == planned((20, 0.1, 2)).plan
    assert dataclasses.asdict(planned((20, 1.0, 5)).uncertainty) == dataclasses.asdict(
        planned((20, 1.0, 5)).uncertainty
    )
