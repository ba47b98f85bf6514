"""The records of a trace: they fit together or are refused, and the cap is the least that cuts few enough rows."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.calibration.trace.rows import (
    AcceptanceTrace,
    DrawnTrace,
    TracedRows,
    accepted_tokens,
    answer_offsets,
    least_cap,
)
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.sampling import SamplingSettings

GREEDY = {
    "target_ids": np.array([4, 5, 6]),
    "wanted": np.array([1, 3, 2]),
    "ids": np.array([4, 1, 2, 9, 6], np.int32),
    "log_probs_by_drafter": np.zeros(5, np.float32),
    "offsets": np.array([0, 1, 3]),
    "cap": 2,
}
DRAWN = GREEDY | {
    "log_probs_by_target": np.zeros(5, np.float32),
    "left_by_target": np.zeros(3, np.float32),
    "left_by_drafter": np.zeros(3, np.float32),
    "best_left": np.zeros(3, np.float32),
    "settings": SamplingSettings(),
}


def test_rows_lie_end_to_end_and_are_cut_at_the_cap():
    trace = AcceptanceTrace(**GREEDY)
    assert trace.row_lengths.tolist() == [1, 2, 2]
    assert trace.row_starts.tolist() == [0, 1, 3]
    assert trace.places.tolist() == [0, 2, 1]
    assert trace.cut_share == 1 / 3
    assert trace.answers == 2


@pytest.mark.parametrize(
    ("record", "changes", "rule"),
    [
        (AcceptanceTrace, {"target_ids": np.array([4])}, "expected one target token, one row and one place in an answ"),
        (AcceptanceTrace, {"offsets": np.array([0, 1, 2])}, r"an answer a position, got 3, 3 and \[2\]$"),
        (AcceptanceTrace, {"offsets": np.array([0, 5, 3])}, "^trace: offsets: expected 0, then no step down$"),
        (AcceptanceTrace, {"offsets": np.zeros(0, np.int64)}, r"got 3, 3 and \[\]$"),
        (AcceptanceTrace, {"cap": 0}, "^trace: cap: expected 1 or more, got 0$"),
        (AcceptanceTrace, {"wanted": np.array([1, 0, 2])}, "^trace: wanted: expected 1 or more a position$"),
        (AcceptanceTrace, {"cap": 3}, "^trace: expected 6 ids and log-probabilities, got 5 and 5$"),
        (AcceptanceTrace, {"log_probs_by_drafter": np.zeros(4, np.float32)}, "got 5 and 4$"),
        (AcceptanceTrace, {"target_ids": np.array([4, 5, 9])}, "expected every whole row to end with the target's tok"),
        (
            DrawnTrace,
            {"log_probs_by_target": np.zeros(4, np.float32)},
            "target's log-probability of every id, got 4 of",
        ),
        (DrawnTrace, {"best_left": np.zeros(2, np.float32)}, "^trace: expected what 3 positions lack, got 3, 3, 2$"),
    ],
)
def test_what_does_not_fit_together_is_refused(record, changes, rule):
    whole = GREEDY if record is AcceptanceTrace else DRAWN
    record(**whole)
    with pytest.raises(EdgedraftError, match=rule):
        record(**whole | changes)


def test_rows_of_drawn_answers_need_not_end_with_the_target():
    assert DrawnTrace(**DRAWN | {"target_ids": np.array([4, 5, 9])}).target_ids[2] == 9


@given(wanted=st.lists(st.integers(1, 50), max_size=60), copies=st.integers(1, 60), most=st.integers(1, 60))
def test_the_cap_is_the_least_that_cuts_under_one_row_in_a_thousand(wanted, copies, most):
    rows = np.repeat(np.array(wanted, np.int64), copies)

    def cut(cap: int) -> float:
        return np.mean(rows > cap) if len(rows) else 0.0

    assert least_cap(rows, most) == min(next(cap for cap in range(1, 51) if cut(cap) < 0.001), most)


def test_a_thousand_rows_may_not_lose_one_but_a_thousand_and_one_may():
    rows = np.ones(1001, np.int64)
    rows[7] = 30
    assert least_cap(rows[:1000], 50) == 30
    assert least_cap(rows, 50) == 1


def test_the_accepted_are_the_targets_tokens_that_the_drafter_likes_best():
    tokens, offsets = accepted_tokens(AcceptanceTrace(**GREEDY))
    assert tokens.tolist() == [4]
    assert offsets.tolist() == [0, 1, 1]
    drawn = DRAWN | {"target_ids": np.array([4, 1, 6])}
    tokens, offsets = accepted_tokens(DrawnTrace(**drawn))
    assert tokens.tolist() == [4, 1]
    assert offsets.tolist() == [0, 1, 2]


def test_answers_without_positions_accept_nothing():
    empty = {name: value[:0] for name, value in GREEDY.items() if isinstance(value, np.ndarray)}
    trace = AcceptanceTrace(**empty | {"offsets": answer_offsets([1, 1]), "cap": 1})
    tokens, offsets = accepted_tokens(trace)
    assert (tokens.tolist(), offsets.tolist(), trace.cut_share) == ([], [0, 0, 0], 0.0)


def test_both_records_share_the_layout():
    shared = {field.name for field in dataclasses.fields(TracedRows)}
    assert shared == {field.name for field in dataclasses.fields(AcceptanceTrace)} == {*GREEDY, "deeper"}
    assert shared < {field.name for field in dataclasses.fields(DrawnTrace)} == {*DRAWN, "deeper"}
