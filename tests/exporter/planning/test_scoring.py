"""The law of scoring: every option's speed is what walking its answers takes, limits cut and no more."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.devices.latency import StepModel
from edgedraft.exporter.planning.ranking import ranks_of
from edgedraft.exporter.planning.replay import DRAFT_LENGTHS, Replay, acceptance_windows
from edgedraft.exporter.planning.scan import scan
from edgedraft.exporter.planning.scoring import (
    PairLatency,
    PlanLimits,
    predicted_seconds,
    predicted_speeds,
    score_options,
)
from edgedraft.runtime.base.errors import EdgedraftError

EVERYTHING = PlanLimits()
LENGTHS = (1, 2, 3, 4)
EASY = [[64, 64, 128, 0, 64, 256, 64, 64]] * 3


COVERED = (0.5, 0.8, 0.9)


@given(seed=st.integers(0, 2**32 - 1), drafter_ms=st.floats(0, 5), per_row=st.floats(0, 1), per_token=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_predicted_speeds_are_those_of_a_walk_by_hand(naive_walk, greedy_trace, seed, drafter_ms, per_row, per_token):
    rng = np.random.default_rng(seed)
    vocab, lengths = 8, [12, 0, 7]
    preferences = np.argsort(rng.random((sum(lengths), vocab)), axis=1).astype(np.int64)
    targets = np.where(rng.random(sum(lengths)) < 0.7, preferences[:, 0], rng.integers(0, vocab, sum(lengths)))
    offsets = np.cumsum([0, *lengths])
    order = rng.permutation(vocab).astype(np.int64)
    rows = {"rows": (1, 17), "row_factors": (1.0, 1 + 16 * per_row)}
    latency = PairLatency(
        target=StepModel(overhead_seconds=0.01, seconds_per_byte=0.0, **rows),
        drafter=StepModel(overhead_seconds=drafter_ms / 1e3, seconds_per_byte=per_token / 1e3, **rows),
        target_bytes=0,
        drafter_bytes=lambda size: size,
    )
    windows = acceptance_windows(greedy_trace(preferences, targets, offsets), ranks_of(order))
    found = predicted_speeds(scan(windows, range(1, vocab + 1), LENGTHS), latency)
    for (row, size), (column, length) in itertools.product(enumerate(range(1, vocab + 1)), enumerate(LENGTHS)):
        drafted = [next(token for token in line if token in order[:size]) for line in preferences]
        walks = [naive_walk(drafted[a:b], targets[a:b].tolist(), length) for a, b in itertools.pairwise(offsets)]
        rounds, tokens, _, _, full = (sum(part) for part in zip(*walks, strict=True))
        one = (drafter_ms + per_token * size) / 1e3
        verifying = 10.0 * (1 + per_row * length) / 1e3
        seconds = rounds * (length * one + verifying) + full * per_row * one
        assert found[row, column] == pytest.approx(tokens / seconds, rel=1e-12)


def test_predicted_seconds_of_each_answer_by_hand():
    outcome = Replay(
        rounds=np.array([3, 4]),
        tokens=np.array([9, 10]),
        accepted=np.array([6, 6]),
        evaluated=np.array([8, 9]),
        full_rounds=np.array([1, 0]),
    )
    latency = PairLatency(
        target=StepModel(overhead_seconds=0.5, seconds_per_byte=0.0, rows=(1, 3, 4), row_factors=(1.0, 2.0, 3.0)),
        drafter=StepModel(overhead_seconds=0.125, seconds_per_byte=2**-14, rows=(1, 2), row_factors=(1.0, 1.5)),
        target_bytes=0,
        drafter_bytes=lambda size: size,
    )
    seconds = predicted_seconds(outcome, 2048, 3, latency)
    assert seconds.tolist() == [3 * (3 * 0.25 + 1.5) + 0.125, 4 * (3 * 0.25 + 1.5)]


def test_accepted_drafts_of_partly_refused_rounds_are_read_again_by_a_recurrent_target():
    """The first answer's full round and the second's refused drafts cost nothing more."""
    steps = StepModel(overhead_seconds=0.5, seconds_per_byte=0.0, rows=(1, 3, 4), row_factors=(1.0, 2.0, 3.0))
    plain = PairLatency(target=steps, drafter=steps, target_bytes=0, drafter_bytes=lambda size: size)
    outcome = Replay(
        rounds=np.array([3, 4]),
        tokens=np.array([9, 4]),
        accepted=np.array([5, 0]),
        evaluated=np.array([8, 4]),
        full_rounds=np.array([1, 0]),
    )
    more = predicted_seconds(outcome, 8, 3, replace(plain, target_rereads=True)) - predicted_seconds(
        outcome, 8, 3, plain
    )
    assert more.tolist() == [2 * (1.5 - 1.0), 0.0]


def test_a_dear_row_count_is_padded_to_a_cheaper_one():
    stairs = StepModel(
        overhead_seconds=0.0, seconds_per_byte=1e-3, rows=(1, 2, 3, 4, 17), row_factors=(1, 3, 3, 1.5, 2)
    )
    latency = PairLatency(target=stairs, drafter=stairs, target_bytes=1, drafter_bytes=lambda size: size)
    assert [latency.target_seconds(rows) for rows in (1, 2, 3, 4)] == pytest.approx([1e-3, 1.5e-3, 1.5e-3, 1.5e-3])
    assert latency.target_pass_seconds[:4] == pytest.approx((1e-3, 3e-3, 3e-3, 1.5e-3))
    assert len(latency.target_pass_seconds) == DRAFT_LENGTHS[-1] + 1


def test_options_come_fastest_first_and_each_length_has_its_best(make_candidate, replayed_answers, linear):
    candidate = make_candidate(target=linear(20, 0.3), drafter=linear(2, 0.2))
    answers = replayed_answers(EASY)
    scored = score_options([candidate], answers, EVERYTHING)
    ranked = list(scored.ranked())
    assert len(ranked) == answers.scan.rounds.size
    speeds = [option.tokens_per_second for option in ranked]
    assert speeds == sorted(speeds, reverse=True)
    best = scored.best_per_length()
    assert [option.draft_length for option in best] == list(dict.fromkeys(o.draft_length for o in ranked))
    assert best[0] == ranked[0]
    assert {option.setup for option in ranked} == {candidate.setup}


def test_limits_leave_only_what_keeps_to_them(make_candidate, replayed_answers, linear):
    candidate = make_candidate(target=linear(20, 0.3), drafter=linear(2, 0.2))
    limits = PlanLimits(memory_bytes=10**9 + 128_000, min_coverage=0.8)
    scored = score_options([candidate], replayed_answers(EASY, COVERED), limits)
    assert {option.draft_vocab_size for option in scored.ranked()} == {128}


def test_a_budget_that_nothing_fits_names_the_smallest_need(make_candidate, replayed_answers, linear):
    candidate = make_candidate(target=linear(20, 0.3), drafter=linear(2, 0.2), memory=3 * 2**30)
    with pytest.raises(EdgedraftError) as error:
        score_options([candidate], replayed_answers(EASY, COVERED), PlanLimits(memory_bytes=2**30))
    assert str(error.value) == (
        "memory budget 1.00 GiB: no plan fits - the smallest needs 3.00 GiB: "
        "allow more, a smaller precision or a shorter context"
    )


def test_a_coverage_that_nothing_reaches_names_what_is_reachable(make_candidate, replayed_answers, linear):
    candidate = make_candidate(target=linear(20, 0.3), drafter=linear(2, 0.2))
    with pytest.raises(EdgedraftError) as error:
        score_options([candidate], replayed_answers(EASY, COVERED), PlanLimits(min_coverage=0.95))
    assert str(error.value) == (
        "min coverage 95.0%: no plan reaches it - the widest choice covers 90.0%: "
        "allow less or calibrate on more prompts"
    )


def test_an_empty_trace_is_refused(make_candidate, replayed_answers, linear):
    candidate, answers = make_candidate(target=linear(20, 0), drafter=linear(2, 0)), replayed_answers([[], []])
    with pytest.raises(EdgedraftError) as error:
        score_options([candidate], answers, EVERYTHING)
    assert str(error.value) == (
        "planning: expected answers of two tokens or more, got only shorter ones - "
        "allow longer answers or use other prompts"
    )


def test_no_candidate_is_refused(replayed_answers):
    with pytest.raises(EdgedraftError, match=r"^planning: expected one precision or more that may be used, got none$"):
        score_options([], replayed_answers(EASY), EVERYTHING)
