"""Costs: a target's pass costs what the runtime pays for it, and the terms of a round add up to what is predicted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.devices.latency import StepModel
from edgedraft.exporter.planning.costs import PairLatency, explain
from edgedraft.exporter.planning.replay import DRAFT_LENGTHS
from edgedraft.exporter.planning.scoring import predicted_seconds

ANSWERS = [[64, 64, 128, 64, 64, 0], [64, 0, 256]]


def test_a_dear_row_count_is_padded_to_a_cheaper_one():
    stairs = StepModel(
        overhead_seconds=0.0, seconds_per_byte=1e-3, rows=(1, 2, 3, 4, 17), row_factors=(1, 3, 3, 1.5, 2)
    )
    latency = PairLatency(target=stairs, drafter=stairs, target_bytes=1, drafter_bytes=lambda size: size)
    assert [latency.target_seconds(rows) for rows in (1, 2, 3, 4)] == pytest.approx([1e-3, 1.5e-3, 1.5e-3, 1.5e-3])
    assert latency.target_pass_seconds[:4] == pytest.approx((1e-3, 3e-3, 3e-3, 1.5e-3))
    assert len(latency.target_pass_seconds) == DRAFT_LENGTHS[-1] + 1


@given(size=st.sampled_from([64, 128, 256]), length=st.integers(1, 4), slope=st.floats(0, 1), ms=st.floats(1, 50))
def test_the_terms_add_up(make_candidate, replayed_answers, linear, size, length, slope, ms):
    candidate = make_candidate(target=linear(ms, slope), drafter=linear(2, slope))
    outcome = replayed_answers(ANSWERS).replay(size, length)
    terms = explain(candidate.latency, outcome, size, length)
    seconds = predicted_seconds(outcome, size, length, candidate.latency).sum()
    assert sum(term.milliseconds for term in terms) == pytest.approx(1e3 * seconds / outcome.rounds.sum())
    assert sum(term.share for term in terms) == pytest.approx(1.0)
    assert all(term.milliseconds >= -1e-9 for term in terms)


def test_each_term_by_hand(make_candidate, replayed_answers, linear):
    candidate = make_candidate(target=linear(20, 0.5), drafter=linear(2, 0.25))
    terms = explain(candidate.latency, replayed_answers([[64, 64, 64, 0]]).replay(64, 2), 64, 2)
    # Two rounds: both drafts kept, then none; a pass of the drafter takes 2 ms and 64 µs of head.
    assert [(term.what, round(term.milliseconds, 6)) for term in terms] == [
        ("drafter's layers, 2 times", 0.0),
        ("drafter's head of 64 rows", 0.128),
        ("drafter's overhead", 4.0),
        ("drafter's second row, after 50% of rounds", 0.258),
        ("target's weights, one row", 0.0),
        ("target's overhead", 20.0),
        ("target's 2 more rows", 20.0),
    ]
