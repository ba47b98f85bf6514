"""Time real rounds of a pair: drafts of every length in turn, so that a slow moment affects all of them alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.decoding import speculative_rounds
from edgedraft.runtime.core.forecast import DraftCosts
from edgedraft.runtime.core.model import Clock, LanguageModel
from edgedraft.runtime.core.padding import paid_seconds
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.statistics import bootstrap_rng
from edgedraft.runtime.core.token_drafter import StopRule, TokenDrafter, TokenOffer, TokenSource

LENGTHS = (0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16)
"""Draft lengths of a turn. A plain step follows another one, as in plain decoding: of the first two one counts.

Behind plain steps a drafter has more tokens to read: of the first draft only the target's pass counts.
"""

LEAST_TURNS = 3
_MOST_TURNS = 1000
_IN_ORDER = 3
_WARM_UP_LENGTH, _WARM_UP_TURNS = 2, 2
_SHORTEST = 1e-9
_ANSWER_TOKENS = 192
"""An answer is begun again behind so many tokens, so that all turns have contexts of about one length."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedRound:
    """Seconds of a round's passes, by the drafts made in it and those that the round before it accepted.

    ``after_full``: all drafts of the round before were accepted. ``after_plain``: there were none.
    """

    drafted: int
    accepted_before: int
    after_full: bool
    after_plain: bool
    drafter_seconds: float
    target_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredPasses:
    """Seconds of a target's passes over 1, 2, ... rows, unpadded, and of the drafter's."""

    target: tuple[float, ...]
    drafter: DraftCosts

    def target_seconds(self, rows: int) -> float:
        """Return the seconds of a target's pass that needs ``rows`` rows, padded as the runtime pads it."""
        return paid_seconds(self.target)[rows - 1]


class _InTurn(StopRule):
    """Drafts as many tokens as the next of ``lengths`` says, round by round."""

    def __init__(self, lengths: Iterator[int]) -> None:
        self._lengths, self._length = lengths, 0

    def begin(self) -> None:
        self._length = next(self._lengths)

    def choose(self, offers: Sequence[TokenOffer], drafted: int) -> TokenOffer | None:
        return offers[0] if offers and drafted < self._length else None

    def observe(self, outcome: Round) -> None:
        self._length = next(self._lengths)


def time_rounds(
    target: LanguageModel,
    source: TokenSource,
    prompt_ids: Sequence[int],
    clock: Clock,
    deadline: float,
    progress: Progress = silent,
) -> list[list[TimedRound]]:
    """Decode turn after turn until ``clock`` reaches ``deadline``; return the rounds of each turn, at least 3 turns.

    Where so many turns would last longer, turns go without the longest drafts.
    """
    tried = [length for length in LENGTHS if length <= _WARM_UP_LENGTH]
    warm_up = list(_timed_turns(target, source, prompt_ids, clock, tried, _WARM_UP_TURNS))
    left = deadline - clock()
    lengths = affordable_lengths(pass_seconds(warm_up[-1], reads_states=False), left / (LEAST_TURNS + 1))
    turns: list[list[TimedRound]] = []
    while len(turns) < LEAST_TURNS or clock() < deadline:
        for turn in _timed_turns(target, source, prompt_ids, clock, lengths, _MOST_TURNS):
            turns.append(turn)
            done = 1 - (deadline - clock()) / left if left > 0 else 1.0
            progress("timing passes", min(max(round(100 * done), 0), 100), 100)
            if len(turns) >= LEAST_TURNS and clock() >= deadline:
                break
    return turns


def affordable_lengths(passes: MeasuredPasses, seconds: float) -> tuple[int, ...]:
    """Return the draft lengths of a turn that takes no more than ``seconds``, by passes of few rows; 1 and 2 always."""
    row = max(passes.target[-1] - passes.target[0], 0.0) / (len(passes.target) - 1)
    chosen, spent = list[int](), 0.0
    for length in LENGTHS:
        spent += passes.target[0] + length * row
        spent += passes.drafter.of_round(length) if length else 0.0
        if length > _WARM_UP_LENGTH and spent > seconds:
            break
        chosen.append(length)
    return tuple(chosen)


def _timed_turns(
    target: LanguageModel,
    source: TokenSource,
    prompt_ids: Sequence[int],
    clock: Clock,
    lengths: Sequence[int],
    most: int,
) -> Iterator[list[TimedRound]]:
    """Yield up to ``most`` turns of one answer, one at least."""
    room = target.context_length - len(prompt_ids) - sum(lengths) - len(lengths)
    require(room > 0, "tune: expected a longer context", got=target.context_length, remedy="use another bundle")
    rounds = _answer(target, source, prompt_ids, lengths, clock)
    yield from islice(_turns(rounds, len(lengths), min(room, _ANSWER_TOKENS)), most)


def _answer(
    target: LanguageModel, source: TokenSource, prompt_ids: Sequence[int], lengths: Sequence[int], clock: Clock
) -> Iterator[Round]:
    drafter = TokenDrafter(source, _InTurn(_shuffled_turns(lengths)), clock)
    return speculative_rounds(target, drafter, prompt_ids, clock=clock)


def _shuffled_turns(lengths: Sequence[int]) -> Iterator[int]:
    """Yield the lengths of turn after turn: plain steps and a draft first, then drafts in an order that changes.

    In one order, what a draft has more to read would always be that of the same draft before it.
    """
    rng = bootstrap_rng()
    while True:
        yield from lengths[:_IN_ORDER]
        yield from rng.permutation(lengths[_IN_ORDER:]).tolist()


def _turns(rounds: Iterator[Round], rounds_a_turn: int, most_tokens: int) -> Iterator[list[TimedRound]]:
    """Cut an answer's rounds into whole turns; the first of each only warms up the second."""
    before, tokens = next(rounds), 0
    while tokens < most_tokens:
        turn = []
        for place in range(rounds_a_turn):
            round_ = next(rounds, None)
            if round_ is None:
                return
            tokens += len(round_.token_ids)
            if place > 0:
                turn.append(_timed(round_, before))
            before = round_
        yield turn


def _timed(round_: Round, before: Round) -> TimedRound:
    return TimedRound(
        drafted=round_.drafted,
        accepted_before=before.accepted,
        after_full=0 < before.drafted == before.accepted,
        after_plain=before.drafted == 0,
        drafter_seconds=round_.drafter_seconds,
        target_seconds=round_.target_seconds,
    )


def pass_seconds(rounds: Sequence[TimedRound], *, reads_states: bool) -> MeasuredPasses:
    """Return the seconds of passes: medians of the rounds with as many drafts, rows between them interpolated.

    A drafter that ``reads_states`` of the target has a further row to read for each draft accepted before; others have
    one after a round whose drafts were all accepted.
    """
    drafted = np.array([each.drafted for each in rounds])
    seconds = np.array([each.target_seconds for each in rounds])
    known = np.unique(drafted)
    require(len(known) > 0 and known[0] == 0, "tune: expected rounds without drafts", got=known.tolist())
    medians = np.array([np.median(seconds[drafted == length]) for length in known])
    rows = np.interp(np.arange(known[-1] + 1), known, medians)
    drafting = [each for each in rounds if each.drafted > 0 and not each.after_plain]
    return MeasuredPasses(target=tuple(rows.tolist()), drafter=_draft_costs(drafting, reads_states))


def _draft_costs(rounds: Sequence[TimedRound], reads_states: bool) -> DraftCosts:
    """Fit the costs to the medians of rounds that are alike; none is negative.

    A drafter that reads states takes first + (γ − 1) · next + accepted · c. Others take γ · next + full · c: all their
    passes are alike.
    """
    require(len(rounds) > 0, "tune: expected rounds with drafts", got="none", remedy="use a longer context")
    drafted, seconds = (np.array([getattr(each, name) for each in rounds]) for name in ("drafted", "drafter_seconds"))
    more = np.array([each.accepted_before if reads_states else int(each.after_full) for each in rounds])
    cases = sorted(set(zip(drafted.tolist(), more.tolist(), strict=True)))
    alike = [(drafted == length) & (more == each) for length, each in cases]
    medians = np.array([np.median(seconds[mask]) for mask in alike])
    # Relative errors count: a long draft's seconds must not decide over a short one's.
    scale = np.sqrt([mask.sum() for mask in alike]) / np.maximum(medians, _SHORTEST)
    facts = np.array([(1.0, length - 1, each) if reads_states else (length, each) for length, each in cases])
    fitted = np.linalg.lstsq(facts * scale[:, None], medians * scale, rcond=None)[0]
    *passes, further = np.maximum(fitted, _SHORTEST).tolist()
    if reads_states:
        return DraftCosts(first=passes[0], next=passes[1], per_accepted=further)
    return DraftCosts(first=passes[0], next=passes[0], after_full=further)
