"""The drafter's memory follows the settled text, and a draft ends before a token that its model is not sure of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.runtime.core.chooser import GREEDY
from edgedraft.runtime.core.drafting import NO_DRAFTS, ConfidentDrafts, Drafter, FixedDrafts
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.verify import confidence

LAWS = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def drafter_of(model, vocab_size=5):
    return Drafter(model=model, index_map=IndexMap.identity(vocab_size))


def ids(proposals):
    return [proposal.token_id for proposal in proposals]


def test_no_drafts_are_no_drafts():
    NO_DRAFTS.begin([1, 2])
    assert NO_DRAFTS.propose([1, 2, 3], 9, GREEDY) == []
    NO_DRAFTS.learn(Round(token_ids=(1,)))


def test_a_prompt_that_fits_is_read_and_a_longer_one_is_not(scripted, by_hash):
    model = scripted(by_hash(1, 5), 5, context_length=3)
    drafter_of(model).begin([1, 2, 3])
    assert model.tokens == [1, 2, 3]
    longer = scripted(by_hash(1, 5), 5, context_length=3)
    drafter_of(longer).begin([1, 2, 3, 4])
    assert longer.contexts == []


@pytest.mark.parametrize(("settled", "room"), [(1, 4), (3, 2), (4, 1), (5, 0), (6, -1)])
def test_one_token_more_than_fits_may_be_drafted_because_the_last_is_not_read(scripted, by_hash, settled, room):
    model = scripted(by_hash(1, 5), 5, context_length=4)
    drafter = drafter_of(model)
    assert drafter.room([0] * settled) == room
    assert len(FixedDrafts(drafter, 9).propose([0] * settled, 9, GREEDY)) == max(room, 0)


def test_keeping_forgets_the_rest_and_never_grows(scripted, by_hash):
    model = scripted(by_hash(1, 5), 5)
    model.read([1, 2, 3])
    drafter_of(model).keep(5)
    assert model.tokens == [1, 2, 3]
    drafter_of(model).keep(2)
    assert model.tokens == [1, 2]


@LAWS
@given(
    table=st.lists(st.lists(st.floats(-6, 6, width=32), min_size=4, max_size=4), min_size=4, max_size=4),
    p_min=st.floats(0, 1),
    draft_length=st.integers(1, 6),
)
def test_a_confident_draft_is_a_fixed_one_cut_before_the_first_unsure_token(tabled, table, p_min, draft_length):
    table = np.array(table, dtype=np.float32)
    fixed = ids(FixedDrafts(drafter_of(tabled(table), 4), draft_length).propose([1], 9, GREEDY))
    found = ids(ConfidentDrafts(drafter_of(tabled(table), 4), draft_length, p_min).propose([1], 9, GREEDY))
    sure = [confidence(table[token]) >= p_min for token in [1, *fixed[:-1]]]
    assert found == fixed[: sure.index(False) if False in sure else draft_length]


def test_drafts_are_target_ids_and_the_last_one_is_not_read(scripted, by_table):
    index_map = IndexMap(target_ids=np.array([2, 5, 7], dtype=np.int64), target_vocab_size=9)
    drafter = scripted(by_table([0, 0, 1, 0, 0, 2, 0, 0]), 3)
    proposing = FixedDrafts(Drafter(model=drafter, index_map=index_map), 3)
    assert [proposal.token_id for proposal in proposing.propose([8, 2], 9, GREEDY)] == [5, 7, 2]
    assert drafter.tokens == [8, 2, 5, 7]


def test_drafting_nothing_reads_nothing(scripted, by_table):
    drafter = scripted(by_table([0]), 1)
    proposing = FixedDrafts(Drafter(model=drafter, index_map=IndexMap.identity(1)), 4)
    assert proposing.propose([0, 0], 0, GREEDY) == []
    assert drafter.contexts == []
