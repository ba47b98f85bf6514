"""Planning with K tokens of a map's order takes exactly the map's tokens, or nothing is planned."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.exporter.planning.ranking import index_map
from edgedraft.exporter.vocab.vocab_map import VocabMap, vocab_order
from edgedraft.runtime.base.errors import EdgedraftError


@given(st.lists(st.integers(0, 49), min_size=3, unique=True), st.sampled_from([50, None]))
def test_the_first_tokens_are_the_maps_with_the_ends_in_front(ids, size):
    found = VocabMap(kind="text", convention="absolute", target_ids=np.array(ids, np.int64), target_vocab_size=size)
    order = vocab_order(found, 50, [ids[2], ids[0]])
    assert sorted(order.tolist()) == list(range(50))
    assert order[:2].tolist() == sorted([ids[0], ids[2]])
    assert order[2 : len(ids)].tolist() == [each for each in ids if each not in (ids[0], ids[2])]
    assert index_map(order, len(ids)).target_ids.tolist() == sorted(ids)


@pytest.mark.parametrize(
    ("ids", "size", "ends", "message"),
    [
        ([3, 5], 50, [3], "vocab map: it was made for a target of 40 tokens, got 50 - give the target's own"),
        ([3, 5, 3], 40, [3], "vocab map: expected every id once, but 1 of 3 entries repeat an id: 3 stands at 0"),
        ([3, 5], 40, [3, 7], "vocab map: expected the ids that end a turn; it lacks 7 - edgedraft vocab convert"),
    ],
)
def test_what_would_not_be_the_map_is_refused(vocab_map, ids, size, ends, message):
    with pytest.raises(EdgedraftError) as error:
        vocab_order(vocab_map(ids), size, ends)
    assert str(error.value).startswith(message)


def test_ids_outside_the_pairs_vocabulary_are_refused(vocab_map):
    with pytest.raises(EdgedraftError, match=r"vocab map: ids must lie in 0\.\.4, got 3\.\.5"):
        vocab_order(vocab_map([3, 5], target_vocab_size=None), 5, [3])
