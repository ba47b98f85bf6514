"""Beyond a drafter's shorter context the target goes on alone, and gives the text that it gives alone."""

import numpy as np
import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.decoding import GREEDY, plain_rounds, sampled, speculative_rounds
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.policies import FixedLength
from edgedraft.runtime.core.sampler import RandomSampler
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.core.token_drafter import TokenDrafter

VOCAB, CONTEXT = 11, 48
EVERY = IndexMap(target_ids=np.arange(VOCAB), target_vocab_size=VOCAB)
SOME = IndexMap(target_ids=np.array([1, 4, 7]), target_vocab_size=VOCAB)


def choose(text):
    return (3 * text[-1] + len(text)) % VOCAB


def ids_of(rounds):
    return [token_id for round_ in rounds for token_id in round_.token_ids]


@pytest.mark.parametrize("drafter_context", [1, 2, 7, 8, 9, 20, CONTEXT - 1, CONTEXT])
@pytest.mark.parametrize("prompt_length", [1, 7, 8, 9, 21])
def test_behind_the_drafters_context_the_target_goes_on_alone(scripted, drafter_context, prompt_length):
    prompt = [place % VOCAB for place in range(prompt_length)]
    alone = ids_of(plain_rounds(scripted(choose, VOCAB, CONTEXT), prompt))
    source = ModelTokenSource(scripted(choose, VOCAB, drafter_context), EVERY)
    drafter = TokenDrafter(source, FixedLength(3))
    target = scripted(choose, VOCAB, CONTEXT)
    for _ in range(2):  # and again with what both still hold
        rounds = list(speculative_rounds(target, drafter, prompt))
        assert ids_of(rounds) == alone
        drafted = sum(round_.drafted for round_ in rounds)
        assert (drafted > 0) == (prompt_length + 1 <= drafter_context), "it drafts as long as it can"


def test_a_bias_that_leaves_nothing_to_draft_means_plain_steps(scripted):
    banned = {int(token_id): -np.inf for token_id in SOME.target_ids}
    method = sampled(SamplingSettings(temperature=0, logit_bias=banned), np.random.default_rng(0))
    drafter = TokenDrafter(ModelTokenSource(scripted(lambda text: 0, 3, CONTEXT), SOME), FixedLength(3))
    rounds = list(speculative_rounds(scripted(choose, VOCAB, CONTEXT), drafter, [5, 2], method))
    assert {round_.drafted for round_ in rounds} == {0}
    alone = plain_rounds(scripted(choose, VOCAB, CONTEXT), [5, 2], method)
    assert ids_of(rounds) == ids_of(alone)
    assert not set(ids_of(rounds)) & set(banned)


def test_a_bias_that_leaves_one_token_drafts_it():
    settings = SamplingSettings(temperature=1, logit_bias={"1": -np.inf, 4: -np.inf, 2: -5.0})
    draw = RandomSampler(settings, np.random.default_rng(0)).draw
    assert draw(np.zeros(3, dtype=np.float32), SOME, [5]).token_id == 7
    impossible = np.array([0, 0, -np.inf], dtype=np.float32)
    assert draw(impossible, SOME, [5]) is None


@pytest.mark.parametrize("key", ["x", "1.5", 1.5, True, None])
def test_a_bias_for_what_is_no_token_is_refused(key):
    with pytest.raises(EdgedraftError, match="logit_bias: token ids must be whole numbers, got "):
        SamplingSettings(logit_bias={key: 1.0})


def test_greedy_is_unharmed():
    assert GREEDY.sampler.draw(np.array([0, 2, 1], dtype=np.float32), SOME, []).token_id == 4
