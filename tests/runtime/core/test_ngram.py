"""Looking up finds what a search through the whole text finds: the latest place after the longest known ending."""

from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.runtime.core.chooser import GREEDY
from edgedraft.runtime.core.drafting import Drafter
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.ngram import Match, NgramDrafts, NgramIndex, NgramOrDrafter
from edgedraft.runtime.core.rounds import Round

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
@given(text=TEXTS, draft_length=st.integers(1, 6), room=st.integers(0, 6))
def test_ngram_drafts_go_on_as_the_text_went_on(text, draft_length, room):
    policy = NgramDrafts(draft_length)
    policy.begin(text)
    found = policy.propose(text, room, GREEDY)
    context = list(text)
    while len(context) - len(text) < min(draft_length, room) and (match := searched(text, context, 2, 5)):
        context.append(match.token_id)
    assert [proposal.token_id for proposal in found] == context[len(text) :]
    assert all(proposal.by_drafter is None for proposal in found)


def test_a_new_answer_forgets_the_old_text():
    policy = NgramDrafts(4)
    policy.begin([1, 2, 3])
    assert len(policy.propose([1, 2, 3, 1, 2], 9, GREEDY)) == 4
    policy.begin([4])
    assert policy.propose([4, 1, 2], 9, GREEDY) == []


def test_where_nothing_repeats_the_drafter_is_asked_and_reads_what_was_looked_up(scripted):
    table = {2: 7, 7: 1}
    model = scripted(lambda context: table.get(context[-1], 0), 9)
    policy = NgramOrDrafter(Drafter(model=model, index_map=IndexMap.identity(9)), 4)
    policy.begin([1, 2, 3])
    found = policy.propose([1, 2, 3, 1, 2], 4, GREEDY)
    assert [proposal.token_id for proposal in found] == [3, 1, 2, 3], "all from the text, the drafter unasked"
    assert model.contexts == [(1, 2, 3)]
    policy.learn(Round(token_ids=(3, 1, 5), proposed=4, accepted=2))
    found = policy.propose([1, 2, 3, 1, 2, 3, 1, 5], 2, GREEDY)
    assert [proposal.token_id for proposal in found] == [0, 0]
    assert model.tokens == [1, 2, 3, 1, 2, 3, 1, 5, 0]
