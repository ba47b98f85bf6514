"""The port is wide enough for a drafter that reads the target's features: it sees every pass, prefill pieces included.

The target's features name the tokens that they belong to, and its next pass spoils them. The drafters here check every
row they are handed, draft from the rows alone, and feed on states of their own in between.
"""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.runtime.core import drafter as drafter_module
from edgedraft.runtime.core.decoding import plain_rounds, sampled, speculative_rounds
from edgedraft.runtime.core.drafter import Draft
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.model import Pass, PromptPasses
from edgedraft.runtime.core.ngram import NgramSource
from edgedraft.runtime.core.padding import Padded
from edgedraft.runtime.core.policies import Confident, FixedLength
from edgedraft.runtime.core.sampler import DraftToken
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.core.sources import FirstOf
from edgedraft.runtime.core.token_drafter import ModelStep, TokenDrafter, TokenSource
from edgedraft.runtime.core.verify import accepted_prefix

LAWS = settings(max_examples=200, deadline=None, derandomize=True, database=None)
VOCAB = 5


class Features:
    """A handle to rows that name the text read so far; ``rows`` is emptied by the model's next pass."""

    def __init__(self, rows):
        self.rows = rows


class FeatureModel:
    """A target: the next token is a hash of the text, and the features of a token are the text up to it."""

    def __init__(self, scripted, choose, context_length):
        self._inner = scripted(choose, VOCAB, context_length)
        self._features = Features([])
        self.context_length, self.passes = context_length, 0

    @property
    def token_ids(self):
        return self._inner.token_ids

    @property
    def length(self):
        return self._inner.length

    def read(self, token_ids):
        start = self.length
        logits = self._inner.read(token_ids).logits
        self._features.rows.clear()
        self._features = Features([tuple(self.token_ids[: end + 1]) for end in range(start, self.length)])
        self.passes += 1
        return Pass(logits=logits, features=self._features)

    def rewind(self, length):
        self._inner.rewind(length)


class States:
    """One state for every token of a text, each the target's features for it; every row is checked on the way in."""

    def __init__(self):
        self.token_ids, self.seen = [], 0

    def begin(self, prompt_ids, passes):
        self.rewind(accepted_prefix(self.token_ids, prompt_ids))
        for piece in passes.since(len(self.token_ids)):
            assert piece.start <= len(self.token_ids), "no piece is left out"
            self.rewind(piece.start)
            assert list(piece.token_ids) == prompt_ids[piece.start : piece.start + len(piece.token_ids)]
            self.take(piece.token_ids, piece.target_pass, len(piece.token_ids))
        assert self.token_ids == list(prompt_ids)

    def take(self, token_ids, target_pass, rows):
        for token_id, row in zip(token_ids[:rows], target_pass.features.rows[:rows], strict=True):
            self.token_ids.append(token_id)
            assert row == tuple(self.token_ids), "features of another token, or spoilt ones"
        self.seen += 1

    def rewind(self, length):
        del self.token_ids[length:]


class FeatureDrafter:
    """Against the bare port: drafts what ``guess`` says to the last state and the tokens behind it."""

    def __init__(self, guess, draft_length):
        self.states, self._guess, self._draft_length, self._draft = States(), guess, draft_length, []

    def begin(self, prompt_ids, passes):
        self.states.begin(prompt_ids, passes)

    def propose(self, committed, limit, sampler):
        assert self.states.token_ids == list(committed[:-1]), "a state for all that the target has read"
        text = list(committed)
        while len(text) - len(committed) < min(limit, self._draft_length):
            text.append(self._guess(tuple(text)))
        self._draft = text[len(committed) - 1 :]
        return Draft(tokens=tuple(DraftToken(token_id=token_id) for token_id in self._draft[1:]))

    def rewind(self, length):
        self.states.rewind(length)

    def observe(self, outcome, target_pass):
        assert list(outcome.token_ids[:-1]) == self._draft[1 : outcome.accepted + 1]
        self.states.take(self._draft, target_pass, outcome.accepted + 1)


class FeatureSource(TokenSource):
    """As a layer on the target: it drafts from the target's features first, then feeds on states of its own."""

    def __init__(self, guess):
        self.states, self._guess, self._own, self._last = States(), guess, [], 0

    def begin(self, prompt_ids, passes):
        self._own = []
        self.states.begin(prompt_ids, passes)

    def start(self, committed):
        assert self._own == []
        assert self.states.token_ids == list(committed[:-1])
        self._last = committed[-1]

    def offers(self, context_ids):
        """Another source may have drafted before: what it drafted is read first."""
        known = [*self.states.token_ids, *self._own]
        assert list(context_ids[: len(known)]) == known, "states of what is drafted now"
        unread = list(context_ids[len(known) :])
        assert unread

        def ask():
            self._own += unread
            row = np.full(VOCAB, -9, dtype=np.float32)
            row[self._guess((*self.states.token_ids, *self._own))] = 9
            return row

        return [ModelStep(unread=len(unread), ask=ask, index_map=IndexMap.identity(VOCAB))]

    def rewind(self, length):
        self.states.rewind(length)

    def observe(self, outcome, target_pass):
        self.states.take([self._last, *outcome.token_ids], target_pass, outcome.accepted + 1)
        self._own = []


def bare(guess):
    return FeatureDrafter(guess, 3)


DRAFTERS = {
    "the bare port": bare,
    "a source": lambda guess: TokenDrafter(FeatureSource(guess), FixedLength(3)),
    "a source that stops by confidence": lambda guess: TokenDrafter(FeatureSource(guess), Confident(4, 0.3)),
    "looked up before": lambda guess: TokenDrafter(FirstOf(NgramSource(), FeatureSource(guess)), FixedLength(3)),
    "two sources": lambda guess: TokenDrafter(FirstOf(FeatureSource(guess), FeatureSource(guess)), FixedLength(2)),
}


@st.composite
def talks(draw):
    """Answers one after another: prompts that go on from what came before or do not, given up after some rounds."""
    ids = st.integers(0, VOCAB - 1)
    turns = []
    for _ in range(draw(st.integers(1, 5))):
        turns.append(
            {
                "shared": draw(st.integers(0, 90)),
                "more": draw(st.lists(ids, min_size=1, max_size=40)),
                "rounds": draw(st.integers(1, 8)),
                "drafts": draw(st.booleans()),
            }
        )
    return {"turns": turns, "salt": draw(st.integers(0, 200)), "drafter": draw(st.sampled_from(sorted(DRAFTERS)))}


@LAWS
@given(talk=talks())
def test_a_drafter_sees_the_features_of_every_pass_whatever_came_before(scripted, by_hash, talk):
    """Prefixes of earlier answers are reused, some answers are decoded without the drafter, and all are given up."""
    choose = by_hash(talk["salt"], VOCAB)

    def often_right(text):
        return choose(text) if sum(text) % 4 else (choose(text) + 1) % VOCAB

    target, alone = FeatureModel(scripted, choose, 200), scripted(choose, VOCAB, 200)
    drafter, text = DRAFTERS[talk["drafter"]](often_right), []
    for turn in talk["turns"]:
        prompt = [*text[: turn["shared"]], *turn["more"]][:190]
        rounds = speculative_rounds(target, drafter, prompt) if turn["drafts"] else plain_rounds(target, prompt)
        text = list(prompt)
        for _, round_ in zip(range(turn["rounds"]), rounds, strict=False):
            text += round_.token_ids
        rounds.close()
        expected = plain_rounds(alone, prompt)
        while len(prompt) < len(text):
            prompt += next(expected).token_ids
        assert prompt == text


def rounds_of(target, drafter, prompt, count):
    rounds = speculative_rounds(target, drafter, prompt)
    found = [token for _, round_ in zip(range(count), rounds, strict=False) for token in round_.token_ids]
    rounds.close()
    return found


def test_what_both_hold_is_not_read_again(scripted, by_hash):
    choose = by_hash(3, VOCAB)
    target, drafter = FeatureModel(scripted, choose, 200), bare(choose)
    prompt = [1, 2, 3] * 20
    text = [*prompt, *rounds_of(target, drafter, prompt, 4)]
    passes = target.passes
    rounds_of(target, drafter, [*text, 4], 1)
    assert target.passes - passes == 1, "the last token of the answer and the new one"


def test_what_the_drafter_has_not_seen_the_target_reads_again(scripted, by_hash):
    choose = by_hash(3, VOCAB)
    target, drafter = FeatureModel(scripted, choose, 200), bare(choose)
    prompt = [1, 2, 3] * 20
    next(plain_rounds(target, prompt))
    passes = target.passes
    rounds_of(target, drafter, [*prompt, 4], 1)
    assert target.passes - passes == 2, "two pieces: the whole prompt"
    passes = target.passes
    next(plain_rounds(target, [*prompt, 4]))
    assert target.passes - passes == 1, "a drafter that reads no features costs nothing"


class Trusting(States):
    """Takes what is new to the target for all there is: the fault that the law above must catch."""

    def begin(self, prompt_ids, passes):
        self.rewind(accepted_prefix(self.token_ids, prompt_ids))
        for piece in passes.since(len(prompt_ids)):
            self.rewind(piece.start)
            self.take(piece.token_ids, piece.target_pass, len(piece.token_ids))


def test_a_drafter_that_misses_passes_is_caught(scripted, by_hash):
    choose = by_hash(3, VOCAB)
    target, drafter = FeatureModel(scripted, choose, 200), bare(choose)
    drafter.states = Trusting()
    next(plain_rounds(target, [1, 2, 3]))
    with pytest.raises(AssertionError, match="features of another token"):
        rounds_of(target, drafter, [1, 2, 3, 4], 1)


class Late(FeatureDrafter):
    """Looks at the features of a pass after the next one."""

    def observe(self, outcome, target_pass):
        kept, self._kept = getattr(self, "_kept", target_pass), target_pass
        super().observe(outcome, kept)


def test_features_that_are_kept_too_long_are_caught(scripted, by_hash):
    choose = by_hash(3, VOCAB)
    with pytest.raises((AssertionError, ValueError)):
        rounds_of(FeatureModel(scripted, choose, 200), Late(choose, 3), [1, 2, 3], 4)


def test_features_are_valid_from_the_end_of_a_pass_to_the_next_proposal(scripted, by_hash):
    """No copy is needed: between a pass of the target and the next one the handle stays good."""
    choose, handles = by_hash(3, VOCAB), []

    class Keeping(FeatureDrafter):
        def propose(self, committed, limit, sampler):
            assert all(handle.rows for handle in handles[-1:])
            return super().propose(committed, limit, sampler)

        def observe(self, outcome, target_pass):
            handles.append(target_pass.features)
            super().observe(outcome, target_pass)

    rounds_of(FeatureModel(scripted, choose, 200), Keeping(choose, 3), [1, 2, 3], 6)
    assert len(handles) == 5
    assert all(not handle.rows for handle in handles[:-1])


def test_a_drafted_answer_that_draws_reads_the_same_features(scripted, by_hash):
    choose = by_hash(3, VOCAB)
    target = FeatureModel(scripted, choose, 60)
    source = FeatureSource(lambda text: (choose(text) + len(text) % 2) % VOCAB)
    method = sampled(SamplingSettings(temperature=20.0), np.random.default_rng(1))
    rounds = list(speculative_rounds(target, TokenDrafter(source, FixedLength(3)), [1, 2], method))
    assert source.states.seen == len(rounds)
    assert 0 < sum(round_.accepted for round_ in rounds) < sum(round_.drafted for round_ in rounds)


def test_padded_passes_hand_on_features_with_rows_to_spare(scripted, by_hash):
    choose = by_hash(3, VOCAB)
    target = Padded(FeatureModel(scripted, choose, 200), (), "webgpu")
    alone = scripted(choose, VOCAB, 200)
    expected = [
        token for _, round_ in zip(range(9), plain_rounds(alone, [1, 2]), strict=False) for token in round_.token_ids
    ]
    found = rounds_of(target, bare(lambda text: choose(text) if len(text) % 3 else 0), [1, 2], 9)
    assert found[:9] == expected[: len(found[:9])]


def test_looking_up_before_a_source_of_features_keeps_its_states(scripted):
    """The states follow the committed text also where another source drafted it."""
    cycle = [1, 2, 3, 4, 0]
    target = FeatureModel(scripted, lambda context: cycle[context[-1]], 200)

    source = FeatureSource(lambda text: cycle[text[-1]])
    drafter = TokenDrafter(FirstOf(NgramSource(), source), FixedLength(3))
    rounds = speculative_rounds(target, drafter, [1, 2])
    found = [next(rounds) for _ in range(12)]
    assert sum(round_.accepted for round_ in found) > 20
    assert source.states.token_ids == list(target.token_ids)


@pytest.mark.parametrize("length", [1, 2, 33, 34, 70])
def test_passes_of_a_prompt_are_made_once_and_joined_to_its_last_row(scripted, by_hash, length):
    choose = by_hash(3, VOCAB)
    prompt = [number % VOCAB for number in range(length)]
    for asked in (0, 1, length):
        target = FeatureModel(scripted, choose, 200)
        passes = PromptPasses(target, prompt)
        taken = next(passes.since(asked))
        assert taken.start == 0, "nothing was read before"
        assert int(passes.last_row().argmax()) == choose(tuple(prompt))
        read = target.passes
        passes.last_row()
        assert target.passes == read


def test_the_seconds_of_a_round_are_those_of_its_passes(scripted, by_hash):
    choose, clock = by_hash(3, VOCAB), [0.0]

    def passing(seconds):
        return lambda: clock.__setitem__(0, clock[0] + seconds)

    target = scripted(choose, VOCAB, 60, passing(0.5))

    class Source(FeatureSource):
        def begin(self, prompt_ids, passes):
            clock[0] += 0.25  # passes of its own over the prompt

        def offers(self, context_ids):
            def ask():
                clock[0] += 0.125
                return np.eye(VOCAB, dtype=np.float32)[choose(tuple(context_ids))]

            return [ModelStep(unread=1, ask=ask, index_map=IndexMap.identity(VOCAB))]

        def start(self, committed):
            clock[0] += 8.0  # not a pass

        def observe(self, outcome, target_pass):
            pass

    def now():
        return clock[0]

    drafter = TokenDrafter(Source(choose), FixedLength(2), now)
    first, *rest = speculative_rounds(target, drafter, [1] * 40, clock=now)
    assert (first.target_seconds, first.drafter_seconds) == (1.0, 0.25), "two pieces"
    assert {(round_.target_seconds, round_.drafter_seconds) for round_ in rest[:-1]} == {(0.5, 0.25)}


def test_the_worked_example_runs():
    outcome = doctest.testmod(drafter_module)
    assert outcome.attempted >= 8
    assert outcome.failed == 0
