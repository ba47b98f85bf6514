"""Looking up finds what a search through the whole text finds: the latest place after the longest known ending."""

from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.runtime.core.decoding import GREEDY
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.model import PromptPasses
from edgedraft.runtime.core.ngram import NgramIndex, NgramSource
from edgedraft.runtime.core.policies import FixedLength
from edgedraft.runtime.core.sources import FirstOf, ModelTokenSource
from edgedraft.runtime.core.token_drafter import Match, TokenDrafter

LAWS = settings(max_examples=200, deadline=None, derandomize=True, database=None)
TEXTS = st.lists(st.integers(0, 2), max_size=40)


def searched(text, context, shortest, longest):
    """The same answer by looking everywhere."""
    for length in range(longest, shortest - 1, -1):
        for place in range(len(text) - 1, length - 1, -1):
            if length <= len(context) and text[place - length : place] == context[-length:]:
                return Match(token_id=text[place], length=length)
    return None


@LAWS
@given(text=TEXTS, drafted=st.lists(st.integers(0, 2), max_size=4), cuts=st.lists(st.integers(0, 40), max_size=4))
def test_the_index_finds_what_a_search_finds(text, drafted, cuts):
    index = NgramIndex()
    for end in [*sorted(cuts), len(text)]:
        index.extend(text[:end])
    assert index.find([*text, *drafted]) == searched(text, [*text, *drafted], 2, 5)


@LAWS
@given(text=TEXTS, shortest=st.integers(1, 3), more=st.integers(0, 3))
def test_lengths_can_be_chosen(text, shortest, more):
    index = NgramIndex(shortest, shortest + more)
    index.extend(text)
    assert index.find(text) == searched(text, text, shortest, shortest + more)


def test_lengths_without_a_meaning_are_refused(raises_exactly):
    for lengths in ((0, 3), (3, 2)):
        with raises_exactly(f"n-grams: expected 1 <= shortest <= longest, got {lengths}"):
            NgramIndex(*lengths)


@LAWS
@given(text=TEXTS, draft_length=st.integers(1, 6), limit=st.integers(0, 6))
def test_ngram_drafts_go_on_as_the_text_went_on(text, draft_length, limit):
    found = TokenDrafter(NgramSource(), FixedLength(draft_length)).propose(text, limit, GREEDY.sampler)
    context = list(text)
    while len(context) - len(text) < min(draft_length, limit) and (match := searched(text, context, 2, 5)):
        context.append(match.token_id)
    assert found.token_ids == context[len(text) :]
    assert all(token.by_drafter is None for token in found.tokens)


def begin(drafter, prompt, target):
    drafter.begin(prompt, PromptPasses(target, prompt))


def test_a_new_answer_forgets_the_old_text(scripted, by_hash):
    drafter, target = TokenDrafter(NgramSource(), FixedLength(4)), scripted(by_hash(1, 9), 9)
    begin(drafter, [1, 2, 3], target)
    assert len(drafter.propose([1, 2, 3, 1, 2], 9, GREEDY.sampler).tokens) == 4
    begin(drafter, [4], target)
    assert drafter.propose([4, 1, 2], 9, GREEDY.sampler).tokens == ()


def test_where_nothing_repeats_the_drafter_is_asked_and_reads_what_was_looked_up(scripted):
    table = {2: 7, 7: 1}
    model = scripted(lambda context: table.get(context[-1], 0), 9)
    source = FirstOf(NgramSource(), ModelTokenSource(model, IndexMap.identity(9)))
    drafter = TokenDrafter(source, FixedLength(4))
    begin(drafter, [1, 2, 3], scripted(lambda context: 0, 9))
    found = drafter.propose([1, 2, 3, 1, 2], 4, GREEDY.sampler)
    assert found.token_ids == [3, 1, 2, 3], "all from the text, the drafter unasked"
    assert model.contexts == [(1, 2, 3)]
    drafter.rewind(7)
    found = drafter.propose([1, 2, 3, 1, 2, 3, 1, 5], 2, GREEDY.sampler)
    assert found.token_ids == [0, 0]
    assert model.tokens == [1, 2, 3, 1, 2, 3, 1, 5, 0]
