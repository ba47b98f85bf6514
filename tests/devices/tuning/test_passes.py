"""Timing rounds: costs are recovered from rounds of every length, and a turn holds what the time allows."""

from itertools import count

import numpy as np
import pytest

from edgedraft.devices.tuning.passes import (
    LEAST_TURNS,
    LENGTHS,
    MeasuredPasses,
    TimedRound,
    affordable_lengths,
    pass_seconds,
    time_rounds,
)
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.forecast import DraftCosts
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.model import Pass
from edgedraft.runtime.core.sources import ModelTokenSource

ROW, STEP = 0.004, 0.010


def rounds(costs: DraftCosts, lengths=(0, 1, 2, 3, 4, 8), slow=()):
    """Rounds of every length behind full, refused and partly accepted ones; those numbered in ``slow`` take 1 s."""
    numbers, made = count(), []
    for drafted in lengths:
        for accepted, full in ((0, False), (1, False), (2, True), (0, False)):
            drafting = costs.of_round(drafted) + full * costs.after_full + accepted * costs.per_accepted
            made.append(
                TimedRound(
                    drafted=drafted,
                    accepted_before=accepted,
                    after_full=full,
                    after_plain=False,
                    drafter_seconds=drafting if drafted else 0.0,
                    target_seconds=1.0 if next(numbers) in slow else 0.030 + ROW * drafted,
                )
            )
    return made


@pytest.mark.parametrize(
    ("costs", "reads_states"),
    [
        (DraftCosts(first=0.012, next=0.012, after_full=0.003), False),
        (DraftCosts(first=0.009, next=0.005, per_accepted=0.001), True),
    ],
)
def test_the_costs_that_made_the_rounds_are_found_again(costs, reads_states):
    found = pass_seconds(rounds(costs), reads_states=reads_states)
    assert found.target == pytest.approx([0.030 + ROW * drafted for drafted in range(9)])
    for name in DraftCosts.__slots__:
        assert getattr(found.drafter, name) == pytest.approx(getattr(costs, name), abs=1e-8)


def test_a_slow_moment_moves_no_median():
    costs = DraftCosts(first=0.012, next=0.012)
    assert pass_seconds(rounds(costs, slow=(0, 9)), reads_states=False).target == pytest.approx(
        pass_seconds(rounds(costs), reads_states=False).target
    )


def test_rows_that_are_dearer_than_more_rows_are_padded():
    passes = MeasuredPasses(target=(1.0, 2.0, 1.9, 1.2), drafter=DraftCosts(first=1.0, next=1.0))
    assert [passes.target_seconds(rows) for rows in (1, 2, 3, 4)] == [1.0, 1.2, 1.2, 1.2]


def test_rounds_without_a_plain_one_are_refused():
    with pytest.raises(EdgedraftError, match="tune: expected rounds without drafts"):
        pass_seconds(rounds(DraftCosts(first=1.0, next=1.0), lengths=(1, 2)), reads_states=False)


def test_a_turn_leaves_out_the_longest_drafts_where_time_is_short():
    passes = MeasuredPasses(target=(0.030, 0.034, 0.038), drafter=DraftCosts(first=STEP, next=STEP))
    turn = [0.030 + length * (ROW + STEP) for length in LENGTHS]
    assert affordable_lengths(passes, sum(turn) + 1e-9) == LENGTHS
    assert affordable_lengths(passes, sum(turn[:7]) + 1e-9) == LENGTHS[:7]
    assert affordable_lengths(passes, 0.0) == (0, 0, 1, 1, 2)


class Ticking:
    """A model that likes token 1 best; a pass of n rows takes ``base + n · row`` on the shared clock."""

    context_length = 400

    def __init__(self, clock: list[float], base: float, row: float) -> None:
        self.clock, self.base, self.row, self.token_ids = clock, base, row, []

    @property
    def length(self) -> int:
        return len(self.token_ids)

    def read(self, token_ids) -> Pass:
        self.clock[0] += self.base + self.row * len(token_ids)
        self.token_ids += token_ids
        assert self.length <= self.context_length
        return Pass(logits=np.tile(np.array([0.0, 1.0], np.float32), (len(token_ids), 1)))

    def rewind(self, length: int) -> None:
        del self.token_ids[length:]


@pytest.mark.parametrize("seconds", [30.0, 0.0])
def test_real_rounds_are_timed_until_the_time_is_up(seconds):
    clock = [0.0]
    target, drafter = Ticking(clock, 0.030, ROW), Ticking(clock, 0.0, STEP)
    source = ModelTokenSource(drafter, IndexMap.identity(2))
    turns = time_rounds(target, source, [0] * 20, lambda: clock[0], seconds)
    longest = 16 if seconds else 2
    assert {each.drafted for turn in turns for each in turn} == {each for each in LENGTHS if each <= longest}
    assert len(turns) == LEAST_TURNS if not seconds else 30.0 <= clock[0] < 33.0
    found = pass_seconds([each for turn in turns for each in turn], reads_states=False)
    assert found.target == pytest.approx([0.030 + ROW * (1 + drafted) for drafted in range(longest + 1)])
    # All drafts are accepted: every round but that after a plain one begins with two unread tokens.
    assert (found.drafter.next, found.drafter.after_full) == (pytest.approx(STEP), pytest.approx(STEP))
