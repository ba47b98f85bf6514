"""The law of planning: of all (K, γ) the plan takes the one with the most predicted tokens per second."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.exporter.planning.planner import (
    DRAFT_LENGTHS,
    WORTHWHILE_SPEED_UP,
    Option,
    PlanSettings,
    StepCosts,
    candidate_sizes,
    choose,
    predicted_seconds,
    weigh,
)
from edgedraft.exporter.planning.replay import AcceptanceWindows, Replay, replay
from edgedraft.exporter.planning.replaying import Replaying, replaying
from edgedraft.runtime.errors import EdgedraftError

SETTINGS = PlanSettings(target_precision="int4", drafter_precision="int8", threads=3, device="a laptop")


def costs_of(drafter_ms: float, target_ms: float, per_row: float = 0.0, per_token: float = 0.0) -> StepCosts:
    """Milliseconds of one-row passes; each further row costs ``per_row`` of that, each drafter token ``per_token``."""
    return StepCosts(
        drafter=lambda size, rows: (drafter_ms + per_token * size) * (1 + per_row * (rows - 1)) / 1e3,
        target=lambda rows: target_ms * (1 + per_row * (rows - 1)) / 1e3,
    )


def replay_of(accepted: list[list[bool]]) -> Replaying:
    """Answers whose positions are accepted or not whatever the size."""
    flat = np.array([flag for answer in accepted for flag in answer])
    windows = AcceptanceWindows(
        low=np.zeros(len(flat), np.int64),
        high=np.where(flat, 10**9, 0),
        offsets=np.cumsum([0, *map(len, accepted)]),
        cut_share=0.0,
    )
    return lambda size, draft_length: replay(windows, size, draft_length)


def option(size: int, length: int, speed: float) -> Option:
    return Option(
        draft_vocab_size=size, draft_length=length, block_efficiency=2.5, acceptance_rate=0.8, tokens_per_second=speed
    )


# --- candidate_sizes -------------------------------------------------------------------------------------------------


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


# --- predicted_seconds -----------------------------------------------------------------------------------------------


def test_predicted_seconds_by_hand():
    outcome = Replay(
        rounds=np.array([3, 4]),
        tokens=np.array([9, 10]),
        accepted=np.array([6, 6]),
        evaluated=np.array([8, 9]),
        full_rounds=np.array([1, 1]),
    )
    asked = []

    def drafter(size: int, rows: int) -> float:
        asked.append(size)
        return {1: 0.25, 2: 0.375}[rows]

    costs = StepCosts(drafter=drafter, target=lambda rows: {4: 1.5}[rows])
    # 7 rounds of 3 drafts and one pass over 4 rows, and twice the drafter's second row.
    assert predicted_seconds(outcome, 2048, 3, costs) == 7 * (3 * 0.25 + 1.5) + 2 * 0.125
    assert set(asked) == {2048}


# --- weigh -----------------------------------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 2**32 - 1),
    drafter_ms=st.floats(0, 5),
    per_row=st.floats(0, 1),
    per_token=st.floats(0, 1),
)
@settings(max_examples=40, deadline=None)
def test_the_first_option_is_the_best_of_a_brute_force_search(
    naive_walk, greedy_trace, seed, drafter_ms, per_row, per_token
):
    rng = np.random.default_rng(seed)
    vocab, lengths = 8, [12, 0, 7]
    preferences = np.argsort(rng.random((sum(lengths), vocab)), axis=1).astype(np.int64)
    targets = np.where(rng.random(sum(lengths)) < 0.7, preferences[:, 0], rng.integers(0, vocab, sum(lengths)))
    offsets = np.cumsum([0, *lengths])
    order = rng.permutation(vocab).astype(np.int64)
    costs = costs_of(drafter_ms, 10.0, per_row, per_token)
    trace = greedy_trace(preferences, targets, offsets)
    options = weigh(replaying(trace, order), costs, range(1, vocab + 1))
    assert len(options) == vocab * len(DRAFT_LENGTHS)
    assert {(each.draft_vocab_size, each.draft_length) for each in options} == {
        (size, length) for size in range(1, vocab + 1) for length in DRAFT_LENGTHS
    }
    speeds = [each.tokens_per_second for each in options]
    assert speeds == sorted(speeds, reverse=True)
    best = 0.0
    for each in options:
        size, length = each.draft_vocab_size, each.draft_length
        drafted = [next(token for token in row if token in order[:size]) for row in preferences]
        walks = [naive_walk(drafted[a:b], targets[a:b].tolist(), length) for a, b in itertools.pairwise(offsets)]
        rounds, tokens, accepted, evaluated, full = (sum(column) for column in zip(*walks, strict=True))
        one, two = costs.drafter(size, 1), costs.drafter(size, 2)
        seconds = rounds * (length * one + costs.target(length + 1)) + full * (two - one)
        assert each.tokens_per_second == pytest.approx(tokens / seconds, rel=1e-12)
        assert each.block_efficiency == tokens / rounds
        assert each.acceptance_rate == accepted / evaluated
        best = max(best, tokens / seconds)
    assert options[0].tokens_per_second == pytest.approx(best, rel=1e-12)


def test_only_the_sizes_and_lengths_asked_for_are_weighed():
    options = weigh(replay_of([[True] * 10]), costs_of(1, 10), (64,), (3, 5))
    assert {(each.draft_vocab_size, each.draft_length) for each in options} == {(64, 3), (64, 5)}


def test_a_free_drafter_that_is_always_right_drafts_as_far_as_it_may():
    options = weigh(replay_of([[True] * 90, [True] * 900]), costs_of(0, 10), (64, 128))
    assert options[0].draft_length == max(DRAFT_LENGTHS)
    assert options[0].block_efficiency == 9.0
    assert options[0].tokens_per_second == pytest.approx(900.0)


def test_a_drafter_that_is_never_right_drafts_as_little_as_it_may():
    best = weigh(replay_of([[False] * 50]), costs_of(1, 10, per_row=0.1), (64,))[0]
    assert best.draft_length == 1
    assert best.block_efficiency == 1.0
    assert best.acceptance_rate == 0.0


def test_answers_of_one_token_alone_cannot_be_weighed():
    with pytest.raises(EdgedraftError):
        weigh(replay_of([[], []]), costs_of(1, 10), (64,))


# --- choose ----------------------------------------------------------------------------------------------------------


def test_expensive_verification_means_no_speculation_and_the_reason_says_the_sums():
    costs = costs_of(5.0, 20.0, per_row=1.0)
    plan = choose([option(1024, 3, 30.0), option(2048, 2, 40.0)], costs, SETTINGS)
    assert not plan.speculate
    assert plan.reason == (
        "do not speculate: a round of 2 drafts takes 10 ms of drafting and 60 ms of verifying and yields 2.50 tokens, "
        "40.0 tokens/s; the target alone makes 50.0 tokens/s"
    )
    assert plan.predicted_speed_up == pytest.approx(0.8)


def test_the_best_option_becomes_the_plan():
    costs = costs_of(5.0, 20.0)
    plan = choose([option(1024, 3, 70.0), option(2048, 2, 75.0), option(4096, 1, 60.0)], costs, SETTINGS)
    assert (plan.draft_vocab_size, plan.draft_length) == (2048, 2)
    assert plan.speculate
    assert plan.reason == (
        "speculate: a round of 2 drafts takes 10 ms of drafting and 20 ms of verifying and yields 2.50 tokens, "
        "75.0 tokens/s; the target alone makes 50.0 tokens/s"
    )
    assert plan.predicted_tokens_per_second == 75.0
    assert plan.predicted_plain_tokens_per_second == 50.0
    assert plan.predicted_block_efficiency == 2.5
    told = (plan.target_precision, plan.drafter_precision, plan.threads, plan.device)
    assert told == ("int4", "int8", 3, "a laptop")


@pytest.mark.parametrize(("speed", "speculate"), [(50.0, False), (51.0, False), (51.6, True), (200.0, True)])
def test_a_gain_must_be_worth_it(speed, speculate):
    assert WORTHWHILE_SPEED_UP == 1.03
    plan = choose([option(1024, 3, speed)], costs_of(5.0, 20.0), SETTINGS)
    assert plan.speculate is speculate
    assert plan.reason.startswith("speculate:") is speculate


def test_a_slow_verification_alone_turns_the_verdict():
    replayed = replay_of([[True, True, False] * 20])
    cheap, dear = costs_of(2, 20, per_row=0.05), costs_of(2, 20, per_row=1.0)
    assert choose(weigh(replayed, cheap, (64,)), cheap, SETTINGS).speculate
    assert not choose(weigh(replayed, dear, (64,)), dear, SETTINGS).speculate
