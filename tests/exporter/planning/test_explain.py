"""The law of explaining: the terms add up to the round that the planner predicts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.exporter.planning.explain import explain
from edgedraft.exporter.planning.weighing import predicted_seconds

ANSWERS = [[64, 64, 128, 64, 64, 0], [64, 0, 256]]


@given(size=st.sampled_from([64, 128, 256]), length=st.integers(1, 4), slope=st.floats(0, 1), ms=st.floats(1, 50))
def test_the_terms_add_up(make_candidate, linear, size, length, slope, ms):
    candidate = make_candidate(ANSWERS, target=linear(ms, slope), drafter=linear(2, slope))
    outcome = candidate.replayed(size, length)
    terms = explain(candidate.latency, outcome, size, length)
    seconds = predicted_seconds(outcome, size, length, candidate.latency.costs).sum()
    assert sum(term.milliseconds for term in terms) == pytest.approx(1e3 * seconds / outcome.rounds.sum())
    assert sum(term.share for term in terms) == pytest.approx(1.0)
    assert all(term.milliseconds >= -1e-9 for term in terms)


def test_each_term_by_hand(make_candidate, linear):
    candidate = make_candidate([[64, 64, 64, 0]], target=linear(20, 0.5), drafter=linear(2, 0.25))
    terms = explain(candidate.latency, candidate.replayed(64, 2), 64, 2)
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
