"""Padding changes what a pass costs and nothing else: the same logits, the same memory, for whoever reads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.runtime.core.padding import Padded, PaddedGraph, padded_rows, paid_seconds
from edgedraft.runtime.onnx.session import SessionSettings, open_model

LAWS = settings(max_examples=80, deadline=None, derandomize=True, database=None)
STAIRS = (1.0, 3.0, 2.9, 1.5, 1.6, 2.0, 1.7)
SECONDS = st.lists(st.floats(0.1, 9), max_size=12)
CONTEXT = 12


@pytest.mark.parametrize(
    ("rows", "expected"), [(1, 1), (2, 4), (3, 4), (4, 4), (5, 5), (6, 7), (7, 7), (8, 8), (33, 33)]
)
def test_a_pass_takes_the_rows_that_the_plan_finds_cheapest(rows, expected):
    assert padded_rows(rows, STAIRS, "cpu") == padded_rows(rows, STAIRS, "webgpu") == expected


def test_a_gain_that_may_be_noise_decides_nothing():
    assert padded_rows(2, (1.0, 2.0, 1.91), "cpu") == 2
    assert padded_rows(2, (1.0, 2.0, 1.89), "cpu") == 3


@pytest.mark.parametrize(("rows", "expected"), [(1, 1), (2, 4), (3, 4), (4, 4), (5, 5), (33, 33)])
def test_where_nobody_measured_webgpu_fills_a_tile_and_others_stay(rows, expected):
    assert padded_rows(rows, (), "webgpu") == expected
    assert padded_rows(rows, (), "cpu") == padded_rows(rows, (), "cuda") == rows


@LAWS
@given(rows=st.integers(1, 20), seconds=SECONDS, provider=st.sampled_from(["cpu", "webgpu"]))
def test_padding_adds_rows_and_never_time(rows, seconds, provider):
    padded = padded_rows(rows, seconds, provider)
    assert padded >= rows
    if seconds and padded > rows:
        assert seconds[padded - 1] == min(seconds[rows - 1 :])


DEEDS = st.lists(st.tuples(st.integers(0, CONTEXT), st.lists(st.integers(0, 8), min_size=1, max_size=6)), max_size=12)


@LAWS
@given(deeds=DEEDS, seconds=SECONDS, provider=st.sampled_from(["cpu", "webgpu"]))
def test_a_padded_model_is_the_model(scripted, by_hash, deeds, seconds, provider):
    inner, plain = (scripted(by_hash(3, 9), 9, CONTEXT) for _ in range(2))
    padded = Padded(inner, seconds, provider)
    for length, tokens in deeds:
        for model in (padded, plain):
            model.rewind(min(length, model.length))
        tokens = tokens[: CONTEXT - plain.length]
        if tokens:
            np.testing.assert_array_equal(padded.read(tokens).logits, plain.read(tokens).logits)
        assert (padded.token_ids, padded.length, padded.context_length) == (plain.tokens, plain.length, CONTEXT)
        assert inner.tokens == plain.tokens, "what was added is forgotten"


def test_the_last_rows_of_a_context_are_not_padded(scripted, by_hash):
    inner = scripted(by_hash(3, 9), 9, CONTEXT)
    padded = Padded(inner, (), "webgpu")
    for tokens, read in (([1] * 8, 8), ([2, 3], 12), ([4, 5], 12)):
        padded.read(tokens)
        assert len(inner.contexts[-1]) == read


def test_too_much_is_refused_as_ever(scripted, by_hash, raises_exactly):
    inner = scripted(by_hash(3, 9), 9, CONTEXT)
    padded = Padded(inner, (), "webgpu")
    padded.read([1] * 11)
    with raises_exactly(f"the context holds {CONTEXT} tokens, got 13"):
        padded.read([2, 3])
    assert padded.length == 11


def test_on_a_real_graph_the_logits_are_those_of_the_same_kernels(tiny_opened):
    """Rows that are read do not feel those that are added: bit for bit what a pass of so many rows says."""
    model = open_model(tiny_opened.target.graph, SessionSettings(threads=2, context_length=64))
    prompt, block = [5, 6, 7, 8, 9], [21, 22, 23]
    model.read(prompt)
    expected = model.read([*block, 400]).logits[:3].copy()
    model.rewind(len(prompt))
    alone = model.read(block).logits.copy()
    model.rewind(len(prompt))
    padded = Padded(model, (), "webgpu")
    found = padded.read(block).logits
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found.argmax(axis=1), alone.argmax(axis=1))
    assert list(padded.token_ids) == [*prompt, *block]


def test_every_memory_of_a_padded_graph_is_padded(scripted, by_hash):
    class Graph:
        def new_model(self):
            opened.append(scripted(by_hash(3, 9), 9, CONTEXT))
            return opened[-1]

    opened = []
    graph = PaddedGraph(graph=Graph(), pass_seconds=STAIRS, provider="cpu")
    for _ in range(2):
        assert graph.new_model().read([1, 2]).logits.shape == (2, 9)
    assert [len(model.contexts[0]) for model in opened] == [4, 4]


@LAWS
@given(seconds=SECONDS.filter(bool))
def test_what_is_paid_is_the_pass_that_is_run(seconds):
    paid = paid_seconds(seconds)
    assert paid == tuple(seconds[padded_rows(rows, seconds, "webgpu") - 1] for rows in range(1, len(seconds) + 1))
    assert all(got <= asked for got, asked in zip(paid, seconds, strict=True))
