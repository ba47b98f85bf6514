"""Replay of rows from the conversation: which drafts a list accepts with them, exactly, without running.

A draft for a position is accepted if the target's token is on the list or among the rows, and no token that the drafter
likes better is. A drawn draft is drawn from list and rows together. The rows are chosen where a round begins, by the
rule that the runtime uses. A draft is examined only after all earlier drafts of its round were accepted, and these were
on the list or among the rows already: they change nothing. So the rows of the text right before a position decide it,
wherever its round began, and the acceptance of each position serves every draft length.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.counts import TokenCounts
from edgedraft.calibration.trace.rows import AcceptanceTrace, DrawnTrace
from edgedraft.exporter.planning.ranking import coverage_by_size, index_map, ranks_of
from edgedraft.exporter.planning.replay import AcceptanceWindows, replay
from edgedraft.exporter.planning.replay_draws import ExpectedAcceptance, expected_of, expected_replay
from edgedraft.exporter.planning.scan import Numbers, ReplayedAnswers, ReplayFunction, replay_function, scan_replays
from edgedraft.runtime.base.arrays import BoolArray, Ids
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.conversation import ConversationTokens


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ConversationTrace:
    """A trace of an independent drafter with the answers that it is of, in the same order.

    ``scored`` counts the rows of the drafter's full head.
    """

    trace: AcceptanceTrace | DrawnTrace
    answers: tuple[SampledAnswer, ...]
    scored: int

    def __post_init__(self) -> None:
        trace = self.trace
        rule = "rows from the conversation: only a drafter that sees tokens alone can be replayed with them"
        require(not trace.deeper, rule, got=f"{len(trace.depths)} depths", remedy="leave the rows out")
        remedy = "calibrate again: a saved calibration holds no prompts"
        same = is_trace_of(trace, self.answers)
        require(same, "rows from the conversation: expected the answers of the trace", remedy=remedy)


def is_trace_of(trace: AcceptanceTrace | DrawnTrace, answers: Sequence[SampledAnswer]) -> bool:
    """Return whether a trace is of these answers."""
    # An answer's first token is the prompt's own pass: nothing is drafted for it.
    text = [token for entry in answers for token in entry.token_ids[1:]]
    return len(answers) == trace.answers and np.array_equal(trace.target_ids, text)


def accepted_with_rows(traced: ConversationTrace, order: Ids, size: int, limit: int) -> BoolArray:
    """Compute which positions the first ``size`` tokens of ``order`` with ``limit`` rows get right: (positions,).

    The trace must be a greedy one.
    """
    assert isinstance(traced.trace, AcceptanceTrace)
    fates, rows = _fates(traced.trace, ranks_of(order), size), _rows_by_position(traced, order, size, limit)
    return np.array([fate is not None and fate.accepted(at) for fate, at in zip(fates, rows, strict=True)], dtype=bool)


def drawn_with_rows(traced: ConversationTrace, order: Ids, size: int, limit: int) -> ExpectedAcceptance:
    """Compute how probably drafts from the first ``size`` tokens of ``order`` with ``limit`` rows are kept.

    The trace must be of drawn answers.
    """
    trace = traced.trace
    assert isinstance(trace, DrawnTrace)
    bounds = zip(trace.row_starts.tolist(), trace.row_lengths.tolist(), strict=True)
    inside = ranks_of(order)[trace.ids] < size
    for (start, length), rows in zip(bounds, _rows_by_position(traced, order, size, limit), strict=True):
        entries = slice(start, start + length)
        inside[entries] |= [token in rows for token in trace.ids[entries].tolist()]
    return expected_of(trace, inside, size + limit)


def _windows(traced: ConversationTrace, order: Ids, size: int, limit: int) -> AcceptanceWindows:
    """Return windows for `edgedraft.exporter.planning.replay.replay`; they hold at ``size`` alone."""
    accepted = accepted_with_rows(traced, order, size, limit)
    trace = traced.trace
    return AcceptanceWindows(
        low=np.zeros(len(accepted), dtype=np.int64),
        high=np.where(accepted, size, 0).astype(np.int64),
        offsets=trace.offsets,
        cut_share=float((trace.wanted > trace.cap).mean()) if len(accepted) else 0.0,
    )


def conversation_replays(traced: ConversationTrace, order: Ids, limit: int) -> ReplayFunction:
    """Build the replay with ``limit`` rows at a draft vocabulary size and a draft length."""

    # Callers ask for all draft lengths of one size before the next size.
    if isinstance(traced.trace, DrawnTrace):
        drawn = lru_cache(maxsize=4)(lambda size: drawn_with_rows(traced, order, size, limit))
        return lambda size, draft_length: expected_replay(drawn(size), draft_length)
    windows = lru_cache(maxsize=4)(lambda size: _windows(traced, order, size, limit))
    return lambda size, draft_length: replay(windows(size), size, draft_length)


def replay_with_rows(
    traced: ConversationTrace, scoring: TokenCounts, order: Ids, limit: int, grid: tuple[Numbers, Numbers]
) -> ReplayedAnswers:
    """Do what `replay_answers` does, with ``limit`` rows; ``grid`` has the sizes and the draft lengths to score."""
    replayed, (sizes, draft_lengths) = conversation_replays(traced, order, limit), grid
    return ReplayedAnswers(
        order=order,
        coverage=coverage_by_size(scoring, order),
        scan=scan_replays(replayed, sizes, draft_lengths),
        replay=replayed,
        conversation_rows=limit,
        by_list=replay_function(traced.trace, order),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fate:
    """A position that rows decide: the target's token, None if it is on the list, and the tokens liked better."""

    wanted: int | None
    preferred: frozenset[int]

    def accepted(self, rows: frozenset[int]) -> bool:
        return (self.wanted is None or self.wanted in rows) and rows.isdisjoint(self.preferred)


def _fates(trace: AcceptanceTrace, ranks: Ids, size: int) -> list[_Fate | None]:
    """Return what decides each position; None where a draft is refused whatever the rows are.

    It is refused where the drafter likes a token on the list better. Of rows that were cut nobody knows what stands
    behind their end: these are refused, too, as in `acceptance_windows`.
    """
    listed, on_list = ranks[trace.ids] < size, (ranks[trace.target_ids] < size).tolist()
    fates = list[_Fate | None]()
    rows = zip(trace.row_starts.tolist(), trace.wanted.tolist(), trace.target_ids.tolist(), on_list, strict=True)
    for start, wanted, target_id, is_listed in rows:
        before = slice(start, start + wanted - 1)
        if wanted > trace.cap or listed[before].any():
            fates.append(None)
        else:
            preferred = frozenset(trace.ids[before].tolist())
            fates.append(_Fate(wanted=None if is_listed else target_id, preferred=preferred))
    return fates


def _rows_by_position(traced: ConversationTrace, order: Ids, size: int, limit: int) -> Iterator[frozenset[int]]:
    """Yield the rows of a round that begins at each position of the trace."""
    tokens = ConversationTokens(index_map(order, size), traced.scored, limit)
    for entry in traced.answers:
        yield from _rows_before(tokens, entry)


def _rows_before(tokens: ConversationTokens, entry: SampledAnswer) -> Iterator[frozenset[int]]:
    """Yield, for each token of the answer but its first, the rows of a round that begins there."""
    text, rows = [*entry.prompt_ids], frozenset[int]()
    tokens.clear()
    for token_id in entry.token_ids[:-1]:
        text.append(token_id)
        if tokens.extend(text):
            rows = frozenset(tokens.token_ids.tolist())
        yield rows
