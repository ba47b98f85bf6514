"""Replaying any trace under a token order: the one function of size and draft length that planning asks."""

from collections.abc import Callable
from functools import lru_cache

from edgedraft.calibration.trace.rows import AcceptanceTrace, DrawnTrace
from edgedraft.exporter.planning.ranking import ranks_of
from edgedraft.exporter.planning.replay import Replay, acceptance_windows, replay
from edgedraft.exporter.planning.replay_draws import ExpectedAcceptance, expected_acceptance, expected_replay
from edgedraft.runtime.base.arrays import Ids

Replaying = Callable[[int, int], Replay]
"""What a draft vocabulary of so many tokens makes of drafts of such a length."""


def replaying(trace: AcceptanceTrace | DrawnTrace, order: Ids) -> Replaying:
    """The replay of ``trace`` when ``order`` fills the draft vocabulary: exact, or expected for drawn answers."""
    ranks = ranks_of(order)
    if isinstance(trace, AcceptanceTrace):
        windows = acceptance_windows(trace, ranks)
        return lambda size, draft_length: replay(windows, size, draft_length)

    @lru_cache(maxsize=4)
    def expected(size: int) -> ExpectedAcceptance:
        return expected_acceptance(trace, ranks, size)

    return lambda size, draft_length: expected_replay(expected(size), draft_length)
