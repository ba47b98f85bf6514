"""A reading is taken only where it is the only one: what could be ids or offsets is asked, never guessed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.exporter.vocab.deciding import Numbers, as_ids, as_values, decide, whole_numbers
from edgedraft.runtime.base.errors import EdgedraftError

VOCAB = 60
ASCENDING = st.sets(st.integers(0, VOCAB - 1), min_size=2).map(sorted)
ANY_ORDER = st.lists(st.integers(0, VOCAB - 1), min_size=2, unique=True)


def numbers(values, ids=None, vocab_size=VOCAB, **changes):
    kept = None if ids is None else np.isin(np.arange(vocab_size), ids)
    values = np.asarray(values, np.int64)
    return Numbers(kinds=("eagle3",), values=values, kept=kept, vocab_size=vocab_size, **changes)


def decided(found):
    """The convention, or None where it is asked for."""
    try:
        return decide(found)
    except EdgedraftError as error:
        if "two readings are possible" not in str(error):
            raise
        return None


@given(ANY_ORDER, st.sampled_from(["absolute", "offset"]), st.booleans(), st.booleans())
def test_the_decision_is_right_or_refused(ids, convention, masked, sized):
    ids = np.array(ids, np.int64)
    values = as_values(ids, convention)
    assert np.array_equal(as_ids(values, convention), ids)
    given_ids = ids if masked else None
    size = VOCAB if sized or masked else None
    found = numbers(values, given_ids, **({} if size else {"vocab_size": None}))
    assert decided(found) in (convention, None)
    assert decide(found, convention) == convention


@given(ASCENDING)
def test_a_mask_always_decides_an_ascending_map(ids):
    """The other reading of unique ids marks other tokens, so with t2d nothing is left to ask."""
    ids = np.array(ids, np.int64)
    assert decide(numbers(ids - np.arange(len(ids)), ids)) == "offset"
    assert decide(numbers(ids, ids)) == "absolute"


def test_arange_is_asked_about_because_as_offsets_it_means_every_second_token():
    with pytest.raises(EdgedraftError) as error:
        decide(numbers(np.arange(8)))
    assert str(error.value) == (
        "two readings are possible: as ids 0 1 2 3..., as offsets 0 2 4 6... - say which it is with --kind absolute or "
        "--kind offset; the target's --target-vocab-size or --tokenizer may decide it too"
    )
    assert decide(numbers(np.arange(8), ids=range(8))) == "absolute"
    assert decide(numbers(np.arange(8), ids=range(0, 16, 2))) == "offset"
    assert decide(numbers(np.arange(8), vocab_size=14)) == "absolute"  # 2 * 7 is outside
    assert decide(numbers(np.zeros(8))) == "offset"  # the identity, as offsets


def test_offsets_in_order_of_frequency_may_be_negative():
    ids = np.array([50, 3, 41, 7, 2])  # the last offset is -2
    assert decide(numbers(ids - np.arange(5), vocab_size=None)) == "offset"
    assert decide(numbers(ids - np.arange(5), ids)) == "offset"


def test_a_list_with_one_token_twice_is_not_taken_for_offsets():
    """K+1 entries with BOS twice: as ids a repeat, as offsets a map by accident."""
    with pytest.raises(EdgedraftError, match=r"two readings are possible: as ids 1 5 9 1, as offsets 1 6 11 4"):
        decide(numbers([1, 5, 9, 1]))
    assert decide(numbers([1, 5, 9, 1]), "absolute") == "absolute"
    rare = np.arange(0, 1200, 3)
    rare[[100, 300]] = rare[[1, 2]]  # two of 400: as offsets all differ
    assert decided(numbers(rare, vocab_size=None)) is None
    many = np.repeat(np.arange(0, 1200, 3), 2)
    assert decided(numbers(many, vocab_size=None)) == "offset"
    assert decide(numbers([1, 5, 9, 1], absolute_by_format=True)) == "absolute"


def test_what_is_no_map_in_either_reading_is_refused_with_both_reasons():
    with pytest.raises(EdgedraftError) as error:
        decide(numbers([5, 5, 5, 59]))
    assert str(error.value) == (
        "neither reading is a map: as ids, 2 repeat an earlier one; as offsets, 62 lies outside 0..59 - "
        "say which it is with --kind absolute or --kind offset"
    )
    with pytest.raises(EdgedraftError) as error:
        decide(numbers([5, 90], ids=[1, 2]))
    told = "neither reading is a map: as ids, 90 lies outside 0..59; as offsets, 91 lies outside 0..59"
    assert str(error.value) == told


def test_a_mask_of_other_tokens_is_refused_even_when_a_convention_was_declared():
    with pytest.raises(EdgedraftError, match="as ids this is no map: they are not the tokens that t2d marks"):
        decide(numbers([3, 5], ids=[3, 6]), "absolute")


def test_more_entries_than_the_vocabulary_are_no_map():
    with pytest.raises(EdgedraftError, match="neither reading is a map"):
        decide(numbers(np.arange(61)))


def test_a_list_of_ids_that_are_plainly_offsets_is_asked_about():
    with pytest.raises(EdgedraftError) as error:
        decide(numbers([0, 0, 0, 4, 4], absolute_by_format=True))
    assert str(error.value) == (
        "expected ids, but 3 repeat an earlier one; as offsets they are a map - "
        "say which it is with --kind absolute or --kind offset"
    )
    assert decide(numbers([0, 0, 0, 4, 4], absolute_by_format=True), "offset") == "offset"
    assert decide(numbers([0, 0, 0, 4, 59], absolute_by_format=True)) == "absolute"  # repeats, but never offsets
    with pytest.raises(EdgedraftError, match=r"expected ids, but -3 is negative$"):
        decide(numbers([-3, -3, 4], absolute_by_format=True))


@pytest.mark.parametrize("values", [[0.5, 1.0], [True, False], [[1, 2]], [2**70], ["a"]])
def test_only_rows_of_whole_numbers_are_read(values):
    with pytest.raises(EdgedraftError, match="x: expected one row of whole numbers, got"):
        whole_numbers(values, "x")
