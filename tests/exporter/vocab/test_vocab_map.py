"""A map keeps the file's order and repeats, says what is wrong, and is changed only when asked."""

import numpy as np
import pytest

from edgedraft.exporter.vocab.vocab_map import VocabMap
from edgedraft.runtime.base.errors import EdgedraftError


def test_a_sound_map_has_no_problems(vocab_map):
    found = vocab_map([3, 7, 9])
    assert (found.entries, found.distinct, found.ascending, found.problems) == (3, 3, True, ())
    assert vocab_map([9, 3, 7]).problems == ()  # text may be in any order


def test_k_plus_one_entries_with_bos_twice_are_told_with_both_places(vocab_map):
    found = vocab_map([1, 5, 9, 1])
    assert (found.entries, found.distinct) == (4, 3)
    assert found.problems == ("1 of 4 entries repeat an id: 1 stands at 0 and at 3",)
    with pytest.raises(EdgedraftError) as error:
        found.require_distinct()
    assert str(error.value) == (
        "vocab map: expected every id once, but 1 of 4 entries repeat an id: 1 stands at 0 and at 3 - "
        "edgedraft vocab convert --repair drops repeats and, with --tokenizer, adds the ids that end a turn"
    )


def test_a_convention_that_readers_do_not_expect_is_a_problem(vocab_map):
    found = vocab_map([3, 7], kind="gguf", convention="offset")
    told = "it holds offset ids, but readers of llama.cpp's tensor d2t take them as absolute"
    assert found.problems == (told,)


def test_an_order_that_readers_do_not_expect_is_a_problem(vocab_map):
    (told,) = vocab_map([7, 3], kind="eagle3-cache", convention="offset").problems
    assert told.startswith("its ids do not ascend, as readers of d2t and t2d in a torch file")


def test_ids_that_merely_count_are_doubtful(vocab_map):
    (told,) = vocab_map(range(5)).problems
    assert told == "its ids are just 0..4: a map that was never filled in looks like this"


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "vocab map: expected at least one id, got none"),
        ([3, 40], "vocab map: ids must lie in 0..39, got 3..40"),
        ([-1, 4], "vocab map: ids must lie in 0..39, got -1..4"),
    ],
)
def test_ids_outside_the_vocabulary_are_no_map(vocab_map, ids, message):
    with pytest.raises(EdgedraftError) as error:
        vocab_map(ids)
    assert str(error.value) == message


def test_other_numbers_than_int64_are_refused():
    with pytest.raises(EdgedraftError, match="expected one row of int64, got float64"):
        VocabMap(kind="text", convention="absolute", target_ids=np.zeros(3))


def test_repair_drops_repeats_and_adds_ends_where_the_order_wants_them(vocab_map):
    assert vocab_map([1, 5, 9, 1, 5]).repaired().target_ids.tolist() == [1, 5, 9]
    assert vocab_map([9, 5, 1]).repaired([7, 9]).target_ids.tolist() == [7, 9, 5, 1]
    assert vocab_map([1, 5, 9]).repaired([7]).target_ids.tolist() == [1, 5, 7, 9]


def test_the_vocabulary_size_is_filled_in_but_never_changed(vocab_map):
    assert vocab_map([3], target_vocab_size=None).with_vocab_size(50).target_vocab_size == 50
    assert vocab_map([3]).with_vocab_size(40).target_vocab_size == 40
    with pytest.raises(EdgedraftError, match="it was made for a target of 40 tokens, got 50 - give the target's own"):
        vocab_map([3]).with_vocab_size(50)
