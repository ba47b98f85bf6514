"""A memory over a graph is a `LanguageModel`: it says what everything read says, whatever was rewound in between."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.runtime.session import (
    CPU,
    OnnxGraph,
    SessionSettings,
    available_providers,
    open_model,
    share_thread_pool,
)

LAWS = settings(max_examples=60, deadline=None, derandomize=True, database=None)
SETTINGS = SessionSettings(threads=2, context_length=24)
TABLE = np.arange(11 * 5, dtype=np.float32).reshape(11, 5)


@pytest.fixture(scope="module")
def graph(ledger, tmp_path_factory):
    save, _ = ledger
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    save(path, TABLE)
    return OnnxGraph(path, SETTINGS)


@LAWS
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 24), st.lists(st.integers(0, 4), min_size=1, max_size=9)), min_size=1, max_size=8
    )
)
def test_logits_are_those_of_everything_in_memory(graph, ledger, steps):
    _, rows_of = ledger
    model, text = graph.memory(), []
    for length, tokens in steps:
        text = text[:length]
        model.rewind(len(text))
        tokens = tokens[: 24 - len(text)]
        if not tokens:
            continue
        text += tokens
        np.testing.assert_array_equal(model.read(tokens), TABLE[rows_of(text, 11)][-len(tokens) :])
        assert (list(model.token_ids), model.length) == (text, len(text))


def test_memories_over_one_graph_know_nothing_of_each_other(graph, ledger):
    _, rows_of = ledger
    one, other = graph.memory(), graph.memory()
    one.read([1, 2, 3])
    np.testing.assert_array_equal(other.read([4]), TABLE[rows_of([4], 11)])
    np.testing.assert_array_equal(one.read([0]), TABLE[rows_of([1, 2, 3, 0], 11)][-1:])
    assert one.token_ids == [1, 2, 3, 0]


def test_a_model_says_how_large_it_is(graph):
    model = graph.memory()
    assert (model.vocab_size, model.context_length, model.length) == (5, 24, 0)


def test_reading_too_much_changes_nothing(graph, raises_exactly):
    model = graph.memory()
    model.read([0] * 20)
    remedy = "shorten the prompt or open the bundle with a larger context"
    with raises_exactly(f"the context holds 24 tokens, got 25 - {remedy}"):
        model.read([0] * 5)
    assert model.length == 20
    with raises_exactly("nothing to read, got 0 tokens"):
        model.read([])


@pytest.mark.parametrize("length", [-1, 3])
def test_rewinding_to_nowhere_is_refused(graph, length, raises_exactly):
    model = graph.memory()
    model.read([0, 1])
    with raises_exactly(f"cannot rewind to {length}: only 2 tokens were read"):
        model.rewind(length)
    assert model.token_ids == [0, 1]


def test_the_cpu_is_always_there():
    providers = available_providers()
    assert providers[CPU] == "CPUExecutionProvider"
    assert all(name == name.lower() for name in providers)


def test_an_unknown_provider_is_refused_before_anything_opens(tmp_path, raises_exactly):
    offered = ", ".join(sorted(available_providers()))
    remedy = "choose one of these or install the onnxruntime build that has it"
    with raises_exactly(f"provider: this onnxruntime offers {offered}, got abacus - {remedy}"):
        open_model(tmp_path / "none.onnx", SessionSettings(threads=2, provider="abacus"))


def test_the_number_of_threads_is_fixed_once(graph, raises_exactly):
    remedy = "start a new process to change the number of threads"
    with raises_exactly(f"this process already runs with 2 threads, got 3 - {remedy}"):
        share_thread_pool(3)


def test_a_file_that_is_no_graph_is_named(tmp_path, graph):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"not a graph")
    with pytest.raises(Exception, match=f"^{file}: ONNX Runtime cannot open it, got ") as caught:
        open_model(file, SETTINGS)
    assert "\n" not in str(caught.value)
