"""Drawn text follows the target's own law whatever is drafted and however; a policy that peeks at a draw does not."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from edgedraft.runtime.core.decoding import sampled, speculative_rounds
from edgedraft.runtime.core.drafter import Draft
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.pass_times import PairPassTimes, PassTimes
from edgedraft.runtime.core.policies import POLICIES, FixedLength, PolicyChoice, PolicyParts, build_drafter
from edgedraft.runtime.core.sampling import SamplingSettings, adjusted, probabilities, verify_draws
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.core.token_drafter import TokenDrafter

VOCAB, LENGTH, PROMPT = 4, 5, (1, 2, 1, 2)
TEXTS = 1_000
KEPT = np.array([0, 2, 3], dtype=np.int64)
# Each chi-square test below may raise one false alarm in a hundred million runs of the suite.
ALARM = 1e-8

SETTINGS = {
    "temperature": SamplingSettings(temperature=0.9),
    "nucleus with repetition penalty": SamplingSettings(top_p=0.9, repetition_penalty=1.4),
}


def table(seed):
    return np.random.default_rng(seed).normal(0, 1.5, (VOCAB, VOCAB)).astype(np.float32)


def exact_law(rows, settings):
    """Probability of every sequence of ``LENGTH`` tokens under the target alone."""
    law = {}
    for tokens in itertools.product(range(VOCAB), repeat=LENGTH):
        chance, context = 1.0, list(PROMPT)
        for token in tokens:
            chance *= probabilities(adjusted(rows[context[-1]], settings, np.unique(context), {}), settings)[token]
            context.append(token)
        law[tokens] = chance
    return law


def p_value(counts, law):
    """Chi-square with rare texts in one cell; a text that cannot be is a certain fault."""
    expected = np.array(list(law.values())) * sum(counts.values())
    found = np.array([counts.get(text, 0) for text in law], dtype=float)
    if found[expected == 0].sum():
        return 0.0
    common = expected >= 5
    cells = [(np.append(each[common], each[~common].sum())) for each in (found, expected)]
    cells = [each[cells[1] > 0] for each in cells]
    return float(stats.chisquare(*cells).pvalue)


@pytest.fixture(scope="session")
def drawn_texts(tabled):
    """Counts of the texts that a policy made from ``parts`` gives, each begun anew on a clock that reads advance."""

    def count(build, settings):
        rows, clock = table(4), [0.0]

        def passing(seconds):
            def on_read():
                clock[0] += seconds

            return on_read

        drafter = tabled((table(5) * 0.5 + rows)[:, KEPT], 64, passing(0.01))
        target = tabled(rows, 64, passing(0.1))
        parts = PolicyParts(
            source=ModelTokenSource(drafter, IndexMap(target_ids=KEPT, target_vocab_size=VOCAB)),
            clock=lambda: clock[0],
            pass_times=PairPassTimes(
                target=PassTimes([0.1, 0.1]), drafter=PassTimes([0.01, 0.01]), acceptance_rate=0.8
            ),
        )
        method, counts = sampled(settings, np.random.default_rng(6)), {}
        proposed = 0
        for _ in range(TEXTS):
            text = []
            for round_ in speculative_rounds(target, build(parts), PROMPT, method, clock=parts.clock):
                text += round_.token_ids
                proposed += round_.drafted
                if len(text) >= LENGTH:
                    break
            counts[tuple(text[:LENGTH])] = counts.get(tuple(text[:LENGTH]), 0) + 1
        return counts, proposed

    return count


@pytest.mark.parametrize(
    ("policy", "settings"),
    [
        *((policy, "temperature") for policy in POLICIES if policy != "plain"),
        *((policy, "nucleus with repetition penalty") for policy in ("fixed", "adaptive")),
    ],
)
def test_every_policy_follows_the_targets_law_over_whole_texts(drawn_texts, policy, settings):
    choice = PolicyChoice(name=policy, draft_length=2, p_min=0.5)
    counts, proposed = drawn_texts(lambda parts: build_drafter(choice, parts), SETTINGS[settings])
    assert proposed > TEXTS // 4, "something was drafted"
    assert p_value(counts, exact_law(table(4), SETTINGS[settings])) > ALARM


class PeekingDrafter(TokenDrafter):
    """Withdraws a draft when the token that was drawn does not please it: the fault that the law above must catch."""

    def propose(self, committed, limit, sampler):
        draft = super().propose(committed, limit, sampler)
        self.rewind(len(committed))
        return Draft(tokens=tuple(itertools.takewhile(lambda token: token.token_id == 0, draft.tokens)))


def test_a_policy_that_peeks_at_the_drawn_token_is_caught(drawn_texts):
    settings = SETTINGS["temperature"]
    counts, proposed = drawn_texts(lambda parts: PeekingDrafter(parts.source, FixedLength(2)), settings)
    assert proposed > TEXTS // 4
    assert p_value(counts, exact_law(table(4), settings)) < ALARM


def lengths_by_seed(tabled, policy, drafter_row, rounds):
    """Drafts proposed in the first rounds, seed by seed; nothing repeats and no logits depend on a context."""
    lengths, tokens = {}, set()
    for seed in range(40):
        clock = itertools.count(0.0, 0.05).__next__
        target_table = np.tile(np.array([1, 1, 1, -99, -99, -99], dtype=np.float32), (6, 1))
        drafter = tabled(np.tile(np.array(drafter_row, dtype=np.float32), (6, 1)))
        parts = PolicyParts(
            source=ModelTokenSource(drafter, IndexMap(target_ids=np.arange(3, dtype=np.int64), target_vocab_size=6)),
            clock=clock,
            pass_times=PairPassTimes(target=PassTimes([0.5, 0.5]), drafter=PassTimes([0.01]), acceptance_rate=0.9),
        )
        built = build_drafter(PolicyChoice(name=policy, draft_length=4, p_min=0.4), parts)
        method = sampled(SamplingSettings(), np.random.default_rng(seed))
        turns = speculative_rounds(tabled(target_table), built, [3, 4, 5], method, clock=clock)
        seen = [next(turns) for _ in range(rounds)]
        lengths[seed] = tuple(round_.drafted for round_ in seen)
        tokens.add(seen[-1].token_ids[0])
    assert tokens == {0, 1, 2}, "the seeds drew every token"
    return set(lengths.values())


@pytest.mark.parametrize(("policy", "rounds"), [("fixed", 2), ("confident", 2), ("adaptive", 3)])
@pytest.mark.parametrize("drafter_row", [[1, 1, 1], [2, 0, 0], [9, 0, 0]], ids=str)
def test_the_length_of_the_first_draft_does_not_depend_on_what_was_drawn(tabled, policy, rounds, drafter_row):
    assert len(lengths_by_seed(tabled, policy, drafter_row, rounds)) == 1


class Scripted:
    """Random numbers one after another."""

    def __init__(self, values):
        self._values = iter(values)

    def random(self):
        return next(self._values)


def quarters():
    """Every distribution over three tokens in quarters."""
    parts = itertools.product(range(5), repeat=3)
    return [np.array(part, dtype=np.float64) / 4 for part in parts if sum(part) == 4]


def midpoints(count):
    return [(number + 0.5) / count for number in range(count)]


def law_of(drafts, by_target):
    """The law of three tokens that a round and plain steps after it settle, the numbers drawn on a grid.

    With distributions in quarters every border lies between two midpoints of twelfths, so the law is exact.
    """
    law = {}
    grid = list(itertools.product(*[midpoints(4)] * len(drafts), midpoints(12)))
    for *keeping, last in grid:
        numbers = Scripted(in_order(keeping, last, drafts, by_target))
        committed = verify_draws(drafts, [None] * len(drafts), by_target, numbers)
        rest = itertools.product(range(3), repeat=3 - len(committed))
        for more in rest:
            text = (*committed, *more)
            chance = Fraction(1, len(grid))
            for place in range(len(committed), 3):
                chance *= Fraction(by_target[place][text[place]])
            law[text] = law.get(text, 0) + chance
    return {text: chance for text, chance in law.items() if chance}


def in_order(keeping, last, drafts, by_target):
    """A number for every draft up to the first refused one, then the one that draws a token of the target's own."""
    for value, draft, row in zip(keeping, drafts, by_target, strict=False):
        yield value
        if value >= row[draft]:
            break
    yield last


@pytest.mark.parametrize("drafts", [*itertools.product(range(3), repeat=2), (0,), (2,), ()], ids=str)
def test_looked_up_drafts_leave_the_law_exactly_as_it_was(drafts):
    every = quarters()
    for number, first in enumerate(every):
        by_target = [first, every[(number * 7 + 3) % len(every)], every[(number * 4 + 1) % len(every)]]
        expected = {
            text: chance
            for text in itertools.product(range(3), repeat=3)
            if (
                chance := Fraction(1)
                * np.prod([Fraction(row[token]) for row, token in zip(by_target, text, strict=True)])
            )
        }
        assert law_of(drafts, by_target) == expected
