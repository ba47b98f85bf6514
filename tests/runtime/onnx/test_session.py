"""A memory over a graph is a `LanguageModel`: it says what everything read says, whatever was rewound in between.

So is every row of a batch, and on a real graph its logits are the same bits however many rows are stepped with it.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.exporter.graph.loading import load_graph, save_graph
from edgedraft.exporter.graph.packing import pack_model
from edgedraft.exporter.graph.precisions import TABLE as PRECISIONS
from edgedraft.runtime.base.provider_names import CPU
from edgedraft.runtime.core.model import prefill
from edgedraft.runtime.onnx.providers import available_providers, share_thread_pool
from edgedraft.runtime.onnx.session import OnnxGraph, PlainGraph, SessionSettings, open_model

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
    model, text = graph.new_model(), []
    for length, tokens in steps:
        text = text[:length]
        model.rewind(len(text))
        tokens = tokens[: 24 - len(text)]
        if not tokens:
            continue
        text += tokens
        np.testing.assert_array_equal(model.read(tokens).logits, TABLE[rows_of(text, 11)][-len(tokens) :])
        assert (list(model.token_ids), model.length) == (text, len(text))


def test_memories_over_one_graph_know_nothing_of_each_other(graph, ledger):
    _, rows_of = ledger
    one, other = graph.new_model(), graph.new_model()
    one.read([1, 2, 3])
    np.testing.assert_array_equal(other.read([4]).logits, TABLE[rows_of([4], 11)])
    np.testing.assert_array_equal(one.read([0]).logits, TABLE[rows_of([1, 2, 3, 0], 11)][-1:])
    assert one.token_ids == [1, 2, 3, 0]


def test_a_model_says_how_large_it_is(graph):
    model = graph.new_model()
    assert (model.vocab_size, model.context_length, model.length) == (5, 24, 0)


def test_reading_too_much_changes_nothing(graph, raises_exactly):
    model = graph.new_model()
    model.read([0] * 20)
    remedy = "shorten the prompt or open the bundle with a larger context"
    with raises_exactly(f"the context holds 24 tokens, got 25 - {remedy}"):
        model.read([0] * 5)
    assert model.length == 20
    with raises_exactly("nothing to read, got 0 tokens"):
        model.read([])


@pytest.mark.parametrize("length", [-1, 3])
def test_rewinding_to_nowhere_is_refused(graph, length, raises_exactly):
    model = graph.new_model()
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
    with pytest.raises(Exception, match=f"^{file}: not an ONNX model that can be read") as caught:
        open_model(file, SETTINGS)
    assert "\n" not in str(caught.value)


def test_a_graph_that_is_no_decoder_of_ours_is_refused_by_name(tmp_path, ledger, raises_exactly):
    import onnx

    file = tmp_path / "model.onnx"
    ledger[0](file, TABLE)
    model = onnx.load(file)
    model.graph.input.append(onnx.helper.make_tensor_value_info("use_cache_branch", onnx.TensorProto.BOOL, [1]))
    onnx.save(model, file)
    remedy = "export one graph with past, without merging"
    with raises_exactly(f"{file}: input use_cache_branch: graphs of two merged branches are not read - {remedy}"):
        open_model(file, SETTINGS)


# --- batches, on a real graph ----------------------------------------------------------------------------------------

LENGTHS = (1, 2, 3, 17, 32, 33, 40, 63, 64, 65, 90, 5, 31, 8, 100, 12)
PROMPTS = [np.random.default_rng(length).integers(2, 300, length).tolist() for length in LENGTHS]


@pytest.fixture(scope="module", params=["fp32", "int4"])
def real_graph(request, tiny_opened, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    model = load_graph(tiny_opened.target.graph)
    pack_model(model, PRECISIONS[request.param])
    save_graph(model, folder / "model.onnx", "model.onnx.data")
    return OnnxGraph(folder / "model.onnx", SessionSettings(threads=2, context_length=128))


def stepped(graph, numbers, steps=3):
    """Logits (steps, rows, vocab) of a batch of the prompts with these ``numbers``."""
    batch = graph.batch(len(numbers))
    for row, number in zip(batch.rows, numbers, strict=True):
        prefill(row, PROMPTS[number])
    return np.stack([batch.step([7 + number + step for number in numbers]).copy() for step in range(steps)])


def test_a_row_says_the_same_bits_whatever_the_other_rows(real_graph):
    whole = stepped(real_graph, range(16))
    for rows in range(1, 16):
        np.testing.assert_array_equal(stepped(real_graph, range(rows)), whole[:, :rows])
    for order in (range(15, -1, -1), [9, 2, 14], [5]):
        np.testing.assert_array_equal(stepped(real_graph, order), whole[:, list(order)])


def test_a_row_says_nearly_what_a_memory_of_its_own_says(real_graph):
    whole = stepped(real_graph, range(16))
    for number, prompt in enumerate(PROMPTS):
        model = real_graph.new_model()
        prefill(model, prompt)
        lone = [model.read([7 + number + step]).logits[0].copy() for step in range(3)]
        assert np.abs(lone - whole[:, number]).max() < np.std(whole) / 5
        assert np.abs(lone - whole[:, number - 1]).max() > np.std(whole)


def test_a_graph_of_a_single_row_has_no_batch(tmp_path, ledger):
    file = tmp_path / "model.onnx"
    ledger[0](file, TABLE)
    with pytest.raises(Exception, match=f"^{file}: input_ids: a batch needs a symbolic number of rows, got 1$"):
        OnnxGraph(file, SETTINGS).batch(2)


def test_a_batch_of_nothing_is_refused(real_graph, raises_exactly):
    with raises_exactly("a batch needs at least one row, got 0"):
        real_graph.batch(0)


def test_a_batch_beyond_the_memory_is_one_line(real_graph):
    with pytest.raises(
        Exception, match=r"^not enough memory for 1099511627776 contexts of 128 tokens, got .* - choose"
    ):
        real_graph.batch(2**40)


# --- plain graphs ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def doubling(tmp_path_factory):
    """A file with a graph that doubles its input, however many rows it has."""
    import onnx_ir as ir

    rows = ir.Shape(["rows", 3])
    given, sums = (ir.val(name, ir.DataType.FLOAT, rows) for name in ("given", "sums"))
    node = ir.node("Add", [given, given], outputs=[sums])
    path = tmp_path_factory.mktemp("plain") / "plain.onnx"
    ir.save(ir.Model(ir.Graph([given], [sums], nodes=[node], opset_imports={"": 17}), ir_version=10), path)
    return path


def test_a_plain_graph_is_run_over_what_is_bound_to_it(doubling):
    plain = PlainGraph(doubling, SETTINGS)
    few, many = (np.arange(3 * rows, dtype=np.float32).reshape(rows, 3) for rows in (1, 7))
    one, other = plain.bind(few), plain.bind(many)
    other.run()
    one.run()
    np.testing.assert_array_equal(one.output(), 2 * few)
    np.testing.assert_array_equal(other.output(), 2 * many)


def test_the_bound_input_is_read_anew_at_every_run(doubling):
    values = np.ones((2, 3), dtype=np.float32)
    bound = PlainGraph(doubling, SETTINGS).bind(values)
    for factor in (1, 5):
        values[:] = factor
        bound.run()
        np.testing.assert_array_equal(bound.output(), np.full((2, 3), 2 * factor))


def test_the_cpu_does_not_step_in_for_another_provider(doubling):
    """Azure's provider runs no node of its own: a session that fell back would measure the CPU in its name."""
    if "azure" not in available_providers():
        pytest.skip("this onnxruntime has no provider without kernels")
    with pytest.raises(Exception, match=f"^{doubling}: ONNX Runtime cannot open it, got .*fallback"):
        PlainGraph(doubling, SessionSettings(threads=2, provider="azure"))
