"""The law of replay: a trace replayed for any draft vocabulary and draft length tells exactly what running them does.

Two oracles: a naive draft-and-verify walk over scripted preferences, and the runtime's own loop on scripted models.
"""

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.trace.greedy import trace_answers
from edgedraft.exporter.planning.ranking import index_map, ranks_of
from edgedraft.exporter.planning.replay import acceptance_windows, replay
from edgedraft.runtime.core.decoding import plain_rounds, speculative_rounds
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.model import Pass
from edgedraft.runtime.core.policies import FixedLength
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.core.statistics import count_rounds
from edgedraft.runtime.core.token_drafter import TokenDrafter

VOCAB = 12
DRAFT_LENGTHS = range(1, 9)

seeds = st.integers(0, 2**32 - 1)


def drafted(target, drafter, index_map, prompt, draft_length):
    return speculative_rounds(
        target, TokenDrafter(ModelTokenSource(drafter, index_map), FixedLength(draft_length)), prompt
    )


def random_preferences(rng: np.random.Generator, positions: int, agreement: float) -> tuple[np.ndarray, np.ndarray]:
    """Full preference orders, and targets that are the drafter's favourite with probability ``agreement``."""
    preferences = np.argsort(rng.random((positions, VOCAB)), axis=1).astype(np.int64)
    targets = np.where(rng.random(positions) < agreement, preferences[:, 0], rng.integers(0, VOCAB, positions))
    return preferences, targets


def proposals(preferences: np.ndarray, kept: set[int]) -> list[int]:
    """The drafter's favourite among the kept tokens, position by position."""
    return [next(token for token in row if token in kept) for row in preferences.tolist()]


# --- against the naive walk ------------------------------------------------------------------------------------------


@given(
    seed=seeds,
    lengths=st.lists(st.integers(0, 20), min_size=1, max_size=4).filter(any),
    agreement=st.sampled_from((0.0, 0.5, 0.9, 1.0)),
)
@settings(max_examples=60, deadline=None)
def test_replay_is_the_naive_walk_for_every_size_and_draft_length(naive_walk, greedy_trace, seed, lengths, agreement):
    rng = np.random.default_rng(seed)
    preferences, targets = random_preferences(rng, sum(lengths), agreement)
    trace = greedy_trace(preferences, targets, np.cumsum([0, *lengths]))
    order = rng.permutation(VOCAB).astype(np.int64)
    windows = acceptance_windows(trace, ranks_of(order))
    assert windows.cut_share == 0
    for size in range(1, VOCAB + 1):
        drafted = proposals(preferences, set(order[:size].tolist()))
        assert windows.accepted(size).tolist() == (drafted == trace.target_ids).tolist()
        for draft_length in DRAFT_LENGTHS:
            got = replay(windows, size, draft_length)
            spans = list(itertools.pairwise(trace.offsets))
            walks = [naive_walk(drafted[a:b], trace.target_ids[a:b].tolist(), draft_length) for a, b in spans]
            rounds, tokens, accepted, evaluated, full = (list(column) for column in zip(*walks, strict=True))
            assert got.rounds.tolist() == rounds
            assert got.tokens.tolist() == tokens == list(lengths)
            assert got.accepted.tolist() == accepted
            assert got.evaluated.tolist() == evaluated
            assert got.full_rounds.tolist() == full
            assert got.block_efficiency == sum(tokens) / sum(rounds)
            assert got.acceptance_rate == sum(accepted) / sum(evaluated)


def test_a_walk_by_hand(greedy_trace):
    # Accepted: yes yes no | yes yes yes no | no; rounds of two drafts end after three tokens at most.
    trace = greedy_trace(np.array([[1, 0]] * 8), np.array([1, 1, 0, 1, 1, 1, 0, 0]), np.array([0, 3, 7, 8]))
    windows = acceptance_windows(trace, np.arange(2))
    got = replay(windows, size=2, draft_length=2)
    assert got.rounds.tolist() == [1, 2, 1]
    assert got.tokens.tolist() == [3, 4, 1]
    assert got.accepted.tolist() == [2, 2, 0]  # the third "yes" of the second answer is the target's own token
    assert got.full_rounds.tolist() == [1, 1, 0]
    assert got.evaluated.tolist() == [2, 3, 1]
    assert got.block_efficiency == 2.0


# --- against the runtime's own loop ----------------------------------------------------------------------------------


@functools.lru_cache(maxsize=100_000)
def scripted_logits(seed: int, context: tuple[int, ...], agreement: float, of_drafter: bool) -> tuple[float, ...]:
    """Logits that depend on the whole context; small whole numbers, so that ties are common."""
    rng = np.random.default_rng([seed, len(context), *context])
    by_target, own = rng.integers(0, 6, (2, VOCAB))
    agree = rng.random() < agreement
    return tuple((by_target if agree or not of_drafter else own).astype(float).tolist())


class ScriptedModel:
    """A `LanguageModel` whose logits are scripted; ``kept`` are the rows its head was trimmed to."""

    def __init__(self, script, kept: np.ndarray | None = None, context_length: int = 200) -> None:
        self._script = script
        self._kept = slice(None) if kept is None else kept
        self._read: list[int] = []
        self.context_length = context_length

    @property
    def token_ids(self) -> list[int]:
        return self._read

    @property
    def length(self) -> int:
        return len(self._read)

    def read(self, token_ids) -> Pass:
        assert len(token_ids) > 0
        rows = []
        for token in token_ids:
            self._read.append(int(token))
            rows.append(np.asarray(self._script(tuple(self._read)), dtype=np.float32)[self._kept])
        assert self.length <= self.context_length
        return Pass(logits=np.stack(rows))

    def rewind(self, length: int) -> None:
        assert 0 <= length <= self.length
        del self._read[length:]


class Scripts:
    """A target, a drafter that agrees with it now and then, their prompts and answers."""

    def __init__(self, seed: int, agreement: float, limits: Limits) -> None:
        rng = np.random.default_rng(seed)
        self.limits = limits
        self.target = lambda context: scripted_logits(seed, context, agreement, False)
        self.drafter = lambda context: scripted_logits(seed, context, agreement, True)
        prompts = [tuple(rng.integers(0, VOCAB, size).tolist()) for size in (1, 3, 35)]
        self.answers = [
            SampledAnswer(prompt_id=str(number), prompt_ids=ids, token_ids=self.answer(ids))
            for number, ids in enumerate(prompts)
        ]
        self.order = rng.permutation(VOCAB).astype(np.int64)

    def answer(self, prompt_ids: tuple[int, ...]) -> tuple[int, ...]:
        rounds = limited(plain_rounds(ScriptedModel(self.target), prompt_ids), self.limits)
        return tuple(token for turn in rounds for token in turn.token_ids)

    def run(self, entry: SampledAnswer, size: int, draft_length: int):
        kept = index_map(self.order, size)
        target, drafter = ScriptedModel(self.target), ScriptedModel(self.drafter, kept.target_ids)
        rounds = drafted(target, drafter, kept, entry.prompt_ids, draft_length)
        return list(limited(rounds, self.limits))


@given(
    seed=seeds,
    agreement=st.sampled_from((0.3, 0.8, 1.0)),
    max_new_tokens=st.integers(2, 30),
    end_token_ids=st.sampled_from(((), (3,), (0, 7))),
    size=st.integers(1, VOCAB),
)
@settings(max_examples=30, deadline=None)
def test_replayed_block_efficiency_is_the_measured_one(seed, agreement, max_new_tokens, end_token_ids, size):
    scripts = Scripts(seed, agreement, Limits(max_new_tokens=max_new_tokens, end_token_ids=end_token_ids))
    trace = trace_answers(ScriptedModel(scripts.drafter), scripts.answers)
    windows = acceptance_windows(trace, ranks_of(scripts.order))
    assert windows.cut_share == 0
    for draft_length in DRAFT_LENGTHS:
        runs = [scripts.run(entry, size, draft_length) for entry in scripts.answers]
        for run, entry in zip(runs, scripts.answers, strict=True):
            assert tuple(token for turn in run for token in turn.token_ids) == entry.token_ids
        measured = [count_rounds(run[1:]) for run in runs]
        replayed = replay(windows, size, draft_length)
        assert replayed.rounds.tolist() == [each.rounds for each in measured]
        assert replayed.tokens.tolist() == [each.tokens for each in measured]
        assert replayed.accepted.tolist() == [each.draft_tokens_accepted for each in measured]
        assert replayed.evaluated.tolist() == [each.draft_tokens_evaluated for each in measured]
        full = [sum(turn.accepted == draft_length for turn in run[1:]) for run in runs]
        assert replayed.full_rounds.tolist() == full
        whole = count_rounds(turn for run in runs for turn in run[1:])
        if whole.rounds:
            assert replayed.block_efficiency == whole.block_efficiency
            assert replayed.acceptance_rate == whole.acceptance_rate


# --- windows ---------------------------------------------------------------------------------------------------------


@given(seed=seeds, agreement=st.sampled_from((0.2, 0.9)))
@settings(max_examples=40, deadline=None)
def test_the_whole_vocabulary_accepts_where_the_first_choices_agree(greedy_trace, seed, agreement):
    rng = np.random.default_rng(seed)
    preferences, targets = random_preferences(rng, 30, agreement)
    windows = acceptance_windows(greedy_trace(preferences, targets, [0, 30]), ranks_of(rng.permutation(VOCAB)))
    assert windows.accepted(VOCAB).tolist() == (preferences[:, 0] == targets).tolist()


@given(seed=seeds, cap=st.integers(1, VOCAB), agreement=st.sampled_from((0.0, 0.5)))
@settings(max_examples=60, deadline=None)
def test_positions_below_the_cap_are_refused_and_counted(greedy_trace, seed, cap, agreement):
    rng = np.random.default_rng(seed)
    preferences, targets = random_preferences(rng, 40, agreement)
    order = rng.permutation(VOCAB)
    full = acceptance_windows(greedy_trace(preferences, targets, [0, 25, 40]), ranks_of(order))
    windows = acceptance_windows(greedy_trace(preferences, targets, [0, 25, 40], cap), ranks_of(order))
    places = (preferences == targets[:, None]).argmax(axis=1)
    undecided = []
    for position, (target, place) in enumerate(zip(targets, places, strict=True)):
        best = set(preferences[position, :cap].tolist())
        sizes = [size for size in range(1, VOCAB + 1) if target in order[:size] and not best & set(order[:size])]
        undecided.append(bool(place >= cap and sizes))
    assert windows.cut_share == np.mean(undecided)
    for size in range(1, VOCAB + 1):
        expected = full.accepted(size) & ~np.array(undecided)
        assert windows.accepted(size).tolist() == expected.tolist()


def test_a_trace_of_single_token_answers_takes_no_round(greedy_trace):
    trace = greedy_trace(np.zeros((0, VOCAB), np.int64), np.zeros(0, np.int64), np.zeros(3, np.int64))
    windows = acceptance_windows(trace, np.arange(VOCAB))
    assert windows.cut_share == 0
    outcome = replay(windows, VOCAB, 3)
    assert outcome.rounds.tolist() == outcome.tokens.tolist() == [0, 0]
    assert outcome.acceptance_rate == 0


@pytest.mark.parametrize("draft_length", DRAFT_LENGTHS)
def test_a_perfect_drafter_settles_a_whole_round_at_a_time(greedy_trace, draft_length):
    positions = 72 * 35
    trace = greedy_trace(np.ones((positions, 1), np.int64), np.ones(positions, np.int64), [0, positions])
    outcome = replay(acceptance_windows(trace, np.arange(2)), 2, draft_length)
    assert outcome.block_efficiency == draft_length + 1
    assert outcome.acceptance_rate == 1
    assert outcome.full_rounds.tolist() == outcome.rounds.tolist()
