"""The law of token order: the end of turn first, then by counts, later counts breaking ties, then the smaller id."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.calibration.counts import order_tokens
from edgedraft.runtime.base.errors import EdgedraftError

rows = st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=30)


@given(rows=rows, data=st.data())
def test_the_order_is_a_sort_by_key(rows, data):
    first = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=3))
    order = order_tokens([np.array(column, np.int64) for column in zip(*rows, strict=True)], first)
    assert order.dtype == np.int64
    rest = [token for token in range(len(rows)) if token not in first]
    by_counts = sorted(rest, key=lambda token: (*(-count for count in rows[token]), token))
    assert order.tolist() == sorted(set(first)) + by_counts


def test_first_ids_appear_once_whatever_their_counts():
    assert order_tokens([np.array([9, 8, 7, 6])], [3, 2, 3]).tolist() == [2, 3, 0, 1]


def test_no_counts_are_refused():
    with pytest.raises(EdgedraftError, match=r"^ranking: expected at least one count$"):
        order_tokens([], [1])


@pytest.mark.parametrize("token", [-1, 4])
def test_leading_ids_lie_in_the_vocabulary(token):
    with pytest.raises(EdgedraftError, match=rf"^ranking: leading ids must lie in 0\.\.3, got \[ ?{token}\]$"):
        order_tokens([np.zeros(4, np.int64)], [1, token])
