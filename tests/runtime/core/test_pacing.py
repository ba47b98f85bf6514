"""Before each pass over a prompt and before each round an answer may wait or end; scores come with each token."""

import numpy as np
import pytest

from edgedraft.runtime.core.decoding import plain_rounds, sampled, speculative_rounds
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.model import AnswerCancelledError
from edgedraft.runtime.core.policies import FixedLength
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.core.token_drafter import TokenDrafter
from edgedraft.runtime.core.verify import best_log_probabilities, log_probability

VOCAB = 9


@pytest.fixture
def pair(scripted, by_hash):
    target, drafter = (scripted(by_hash(1, VOCAB), VOCAB, 128) for _ in range(2))
    return target, drafter, TokenDrafter(ModelTokenSource(drafter, IndexMap.identity(VOCAB)), FixedLength(3))


def test_each_pass_over_the_prompt_and_each_round_is_asked_for_first(pair):
    target, drafter, drafting = pair
    seen = []
    rounds = speculative_rounds(
        target, drafting, [1] * 80, before_pass=lambda: seen.append((target.length, drafter.length))
    )
    next(rounds)
    # The target's pieces first, then the drafter's: none is longer than 33 rows.
    assert seen == [(0, 0), (32, 0), (64, 0), (80, 0), (80, 32), (80, 64)]
    next(rounds)
    assert seen[6:] == [(80, 80)]


def test_an_answer_that_is_cancelled_in_its_prompt_keeps_what_was_read(pair):
    target, _, drafting = pair
    left = [2]

    def check():
        if not left.pop():
            raise AnswerCancelledError
        left.append(0)

    with pytest.raises(AnswerCancelledError):
        next(speculative_rounds(target, drafting, [1] * 80, before_pass=check))
    assert target.tokens == [1] * 32
    fresh = next(plain_rounds(target, [1] * 80))
    assert fresh.cached == 32


def test_the_first_round_says_how_much_of_the_prompt_was_cached(pair):
    target, _, drafting = pair
    first, second, *_ = speculative_rounds(target, drafting, [1, 2, 3, 4])
    assert (first.cached, second.cached) == (0, 0)
    again = next(speculative_rounds(target, drafting, [1, 2, 3, 4]))
    assert again.cached == 2  # the last two tokens are always read


def test_the_best_tokens_are_scored_like_the_chosen_one():
    row = np.array([0.5, 3.0, 3.0, -1.0, 2.0], dtype=np.float32)
    best = best_log_probabilities(row, 3)
    assert [token for token, _ in best] == [1, 2, 4]
    assert [score for _, score in best] == [log_probability(row, token) for token in (1, 2, 4)]
    assert len(best_log_probabilities(row, 99)) == 5


@pytest.mark.parametrize("speculate", [True, False])
def test_best_tokens_belong_to_each_token_of_a_round(tabled, speculate):
    rng = np.random.default_rng(3)
    table = rng.normal(0, 1, (VOCAB, VOCAB))
    target, draft = tabled(table), tabled(table + rng.normal(0, 0.2, table.shape))
    drafter = TokenDrafter(ModelTokenSource(draft, IndexMap.identity(VOCAB)), FixedLength(3))
    rounds = speculative_rounds(target, drafter, [4, 2], top_log_probs=2) if speculate else None
    rounds = rounds or plain_rounds(target, [4, 2])
    last, found, limits = 2, [], Limits(max_new_tokens=20)
    for round_ in limited(rounds, limits):
        assert len(round_.top_log_probs) == (len(round_.token_ids) if speculate else 0)
        for token, best in zip(round_.token_ids, round_.top_log_probs, strict=False):
            assert list(best) == best_log_probabilities(table[last].astype(np.float32), 2)
            assert best[0][0] == token
            last = token
            found.append(token)
    assert len(found) == (20 if speculate else 0)


@pytest.mark.parametrize("bias", [{0: 5.0, 3: -4.0}, {7: 2.0}])
def test_a_bias_and_a_penalty_are_applied_before_acceptance(tabled, bias):
    """Greedy text with drafts equals greedy text without, under the same bias."""
    rng = np.random.default_rng(5)
    table = rng.normal(0, 2, (VOCAB, VOCAB))
    settings = SamplingSettings(temperature=0, repetition_penalty=1.3, logit_bias=bias)

    def text(rounds):
        return [token for each in limited(rounds, Limits(max_new_tokens=40)) for token in each.token_ids]

    plain = text(plain_rounds(tabled(table), [4, 2], sampled(settings, np.random.default_rng(0))))
    source = ModelTokenSource(tabled(table + rng.normal(0, 0.5, table.shape)), IndexMap.identity(VOCAB))
    drafter, method = TokenDrafter(source, FixedLength(3)), sampled(settings, np.random.default_rng(1))
    assert text(speculative_rounds(tabled(table), drafter, [4, 2], method)) == plain
    assert plain != text(plain_rounds(tabled(table), [4, 2]))
