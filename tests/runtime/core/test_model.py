"""A prompt is read in pieces, and what the memory already holds of it is not read again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.runtime.core.model import PREFILL_ROWS, catch_up, prefill, prompt_pieces

LAWS = settings(max_examples=150, deadline=None, derandomize=True, database=None)
TEXTS = st.lists(st.integers(0, 2), min_size=1, max_size=90)


@LAWS
@given(prompt=TEXTS, shared=st.integers(0, 90), other=st.lists(st.integers(0, 2), max_size=30))
def test_prefill_gives_what_a_fresh_model_gives_whatever_was_read_before(scripted, by_hash, prompt, shared, other):
    fresh, used = scripted(by_hash(5, 6), 6, 200), scripted(by_hash(5, 6), 6, 200)
    before = [*prompt[:shared], *other]
    if before:
        used.read(before)
    assert prefill(used, prompt).tolist() == prefill(fresh, prompt).tolist()
    assert used.tokens == prompt


@LAWS
@given(prompt=TEXTS, shared=st.integers(0, 90))
def test_prefill_reads_only_what_is_new_but_two_tokens_where_there_are_two(scripted, by_hash, prompt, shared):
    model = scripted(by_hash(5, 6), 6, 200)
    before = prompt[:shared]
    if before:
        model.read(before)
    reads = len(model.contexts)
    prefill(model, prompt)
    kept = min(len(before), max(len(prompt) - 2, 0))
    assert len(model.contexts) - reads == len(list(prompt_pieces(prompt[kept:])))
    assert len(model.contexts[reads]) > kept


def test_prefill_forgets_what_the_prompt_does_not_begin_with(scripted, by_hash):
    model = scripted(by_hash(5, 6), 6, 200)
    model.read([1, 2, 3, 4, 5])
    prefill(model, [1, 2, 9, 9, 9])
    assert model.contexts[1:] == [(1, 2, 9, 9, 9)]


def test_catching_up_reads_the_rest_alone(scripted, by_hash):
    model = scripted(by_hash(5, 6), 6, 200)
    model.read([1, 2])
    last_row = catch_up(model, [1, 2, 3])
    assert model.contexts == [(1, 2), (1, 2, 3)]
    assert int(np.argmax(last_row)) == model.choose((1, 2, 3))


@LAWS
@given(length=st.integers(1, 400), rows=st.integers(2, 64))
def test_prompt_pieces_join_to_the_prompt_and_none_is_single(length, rows):
    pieces = list(prompt_pieces(list(range(length)), rows))
    assert [token for piece in pieces for token in piece] == list(range(length))
    assert all(len(piece) <= rows + 1 for piece in pieces)
    assert length == 1 or all(len(piece) > 1 for piece in pieces)


@pytest.mark.parametrize("length", [1, 2, PREFILL_ROWS, PREFILL_ROWS + 1, PREFILL_ROWS + 2, 3 * PREFILL_ROWS + 1])
def test_prefill_reads_everything_and_returns_the_last_row(scripted, by_hash, length):
    choose = by_hash(5, 6)
    model = scripted(choose, 6, 200)
    prompt = [number % 6 for number in range(length)]
    last_row = prefill(model, prompt)
    assert model.tokens == prompt
    assert last_row.shape == (6,)
    assert int(np.argmax(last_row)) == choose(tuple(prompt))


def test_a_prompt_without_a_token_is_refused(scripted, by_hash, raises_exactly):
    with raises_exactly("the prompt holds no token - write a prompt"):
        prefill(scripted(by_hash(5, 6), 6, 200), [])
