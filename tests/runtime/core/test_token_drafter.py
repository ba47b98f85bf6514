"""A model's memory follows the committed text, and a draft ends before a token that its model is not sure of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.runtime.core.decoding import GREEDY
from edgedraft.runtime.core.drafter import NO_DRAFTS
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.model import PromptPasses
from edgedraft.runtime.core.policies import Confident, FixedLength
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.core.token_drafter import TokenDrafter
from edgedraft.runtime.core.verify import confidence

LAWS = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def source_of(model, vocab_size=5):
    return ModelTokenSource(model, IndexMap.identity(vocab_size))


def drafted(source, stop, committed, limit=9):
    return TokenDrafter(source, stop).propose(committed, limit, GREEDY.sampler).token_ids


def test_no_drafts_are_no_drafts():
    assert NO_DRAFTS.propose([1, 2, 3], 9, GREEDY.sampler).tokens == ()


def test_a_prompt_that_fits_is_read_and_a_longer_one_is_not(scripted, by_hash):
    for prompt, read in (([1, 2, 3], [1, 2, 3]), ([1, 2, 3, 4], [])):
        model, target = scripted(by_hash(1, 5), 5, context_length=3), scripted(by_hash(1, 5), 5)
        source_of(model).begin(prompt, PromptPasses(target, prompt))
        assert model.tokens == read
        assert target.tokens == prompt, "the target reads it first"


@pytest.mark.parametrize(("committed", "possible"), [(1, 4), (3, 2), (4, 1), (5, 0), (6, 0)])
def test_one_token_more_than_fits_may_be_drafted_because_the_last_is_not_read(scripted, by_hash, committed, possible):
    model = scripted(by_hash(1, 5), 5, context_length=4)
    assert len(drafted(source_of(model), FixedLength(9), [0] * committed)) == possible


def test_rewinding_forgets_the_rest_and_never_grows(scripted, by_hash):
    model = scripted(by_hash(1, 5), 5)
    model.read([1, 2, 3])
    source_of(model).rewind(5)
    assert model.tokens == [1, 2, 3]
    source_of(model).rewind(2)
    assert model.tokens == [1, 2]


@LAWS
@given(
    table=st.lists(st.lists(st.floats(-6, 6, width=32), min_size=4, max_size=4), min_size=4, max_size=4),
    p_min=st.floats(0, 1),
    draft_length=st.integers(1, 6),
)
def test_a_confident_draft_is_a_fixed_one_cut_before_the_first_unsure_token(tabled, table, p_min, draft_length):
    table = np.array(table, dtype=np.float32)
    fixed = drafted(source_of(tabled(table), 4), FixedLength(draft_length), [1])
    found = drafted(source_of(tabled(table), 4), Confident(draft_length, p_min), [1])
    sure = [confidence(table[token]) >= p_min for token in [1, *fixed[:-1]]]
    assert found == fixed[: sure.index(False) if False in sure else draft_length]


def test_drafts_are_target_ids_and_the_last_one_is_not_read(scripted, by_table):
    index_map = IndexMap(target_ids=np.array([2, 5, 7], dtype=np.int64), target_vocab_size=9)
    drafter = scripted(by_table([0, 0, 1, 0, 0, 2, 0, 0]), 3)
    assert drafted(ModelTokenSource(drafter, index_map), FixedLength(3), [8, 2]) == [5, 7, 2]
    assert drafter.tokens == [8, 2, 5, 7]


def test_drafting_nothing_reads_nothing(scripted, by_table):
    drafter = scripted(by_table([0]), 1)
    assert drafted(source_of(drafter, 1), FixedLength(4), [0, 0], limit=0) == []
    assert drafter.contexts == []
