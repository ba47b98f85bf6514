"""Samples: a digest depends on what is said and nothing else, groups fill evenly, and digests add like a multiset."""

import itertools
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.calibration.data.samples import GROUPS, RANK, SCORE, Sample, add_digests, group_of

USER = {"role": "user", "content": "hello"}
CALL = {"type": "function", "function": {"name": "look", "parameters": {"a": 1, "b": 2}}}

digests = st.lists(st.text("0123456789abcdef", min_size=64, max_size=64), max_size=6)


# --- what a digest depends on ----------------------------------------------------------------------------------------


def test_id_split_and_the_order_of_keys_take_no_part_in_the_digest():
    turned = {"function": {"parameters": {"b": 2, "a": 1}, "name": "look"}, "type": "function"}
    one = Sample(id="1", messages=(USER,), tools=(CALL,), split=RANK)
    other = Sample(id="2", messages=({"content": "hello", "role": "user"},), tools=(turned,), split=SCORE)
    assert one.digest == other.digest
    assert len(one.digest) == 64 and set(one.digest) <= set(string.hexdigits.lower())


def test_everything_that_is_said_takes_part_in_the_digest():
    answer = {"role": "assistant", "content": "hello"}
    said = [
        Sample(id="1", messages=(USER,)),
        Sample(id="1", messages=(answer,)),
        Sample(id="1", messages=(USER, answer)),
        Sample(id="1", messages=(answer, USER)),
        Sample(id="1", messages=({**USER, "name": "x"},)),
        Sample(id="1", messages=(USER,), tools=(CALL,)),
        Sample(id="1", messages=(CALL,)),
        Sample(id="1", tools=(CALL,)),
        Sample(id="1", text="hello"),
        Sample(id="1", text=""),
        Sample(id="1"),
    ]
    for one, other in itertools.combinations(said, 2):
        assert one.digest != other.digest, (one, other)


@given(st.text(), st.text())
def test_texts_share_a_digest_only_when_they_are_equal(one, other):
    assert (Sample(id="1", text=one).digest == Sample(id="1", text=other).digest) == (one == other)


def test_a_sample_cannot_be_changed():
    with pytest.raises(AttributeError):
        Sample(id="1", text="x").text = "y"


# --- groups ----------------------------------------------------------------------------------------------------------


def test_groups_fill_evenly():
    """Chi-squared over 4,096 texts: far below what any uneven rule would give (31 ± 7.9 when groups are even)."""
    found = np.bincount([group_of(Sample(id="", text=str(n)).digest) for n in range(4096)], minlength=GROUPS)
    assert len(found) == GROUPS
    expected = 4096 / GROUPS
    assert ((found - expected) ** 2 / expected).sum() < 31 + 5 * 7.9
    uneven = np.bincount([len(str(n)) for n in range(4096)], minlength=GROUPS)
    assert ((uneven - expected) ** 2 / expected).sum() > 31 + 5 * 7.9


# --- adding ----------------------------------------------------------------------------------------------------------


@given(digests, st.randoms(use_true_random=False), st.integers(0, 6))
def test_adding_digests_ignores_order_and_parts(found, random, cut):
    shuffled = random.sample(found, len(found))
    parts = add_digests(add_digests(*shuffled[:cut]), add_digests(*shuffled[cut:]))
    assert add_digests(*found) == parts
    assert len(parts) == 64


def test_adding_tells_multisets_apart():
    one, other = Sample(id="", text="a").digest, Sample(id="", text="b").digest
    sums = [add_digests(*each) for each in ([], [one], [other], [one, one], [one, other], [other, other])]
    assert len(set(sums)) == len(sums)
    assert add_digests("f" * 64, "0" * 63 + "1") == add_digests(), "the sum is taken modulo 2^256"
