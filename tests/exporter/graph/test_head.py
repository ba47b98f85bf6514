"""The law of trimming: the trimmed head's logits are the full head's kept columns, bit for bit.

It holds for a draft vocabulary of whole tiles and a vocabulary that is a multiple of four; beyond that the last columns
take another kernel, and equality is up to rounding.
"""

import itertools

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.exporter.graph.head import ROW_TILE, head_row_size, round_to_tile, trim_head
from edgedraft.exporter.graph.heads.tail import find_tail
from edgedraft.exporter.graph.loading import load_graph, model_size, save_graph, vocabulary_width
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.index_map import IndexMap

HIDDEN, WIDTH = 96, 512
ROWS = (1, 2, 3, 8, 17)

PACKED = [
    {"bits": bits, "zero_points": zero_points, "bias": bias, "level": level}
    for bits, zero_points, bias, level in itertools.product((4, 8), (False, True), (False, True), (1, 4))
]


def random_map(size: int, width: int, seed: int) -> IndexMap:
    ids = np.random.default_rng(seed).choice(width, size, replace=False)
    return IndexMap(target_ids=np.sort(ids).astype(np.int64), target_vocab_size=width)


def packed_name(options: dict) -> str:
    parts = [name for name in ("zero_points", "bias") if options[name]]
    return "-".join([f"int{options['bits']}", f"level{options['level']}", *parts])


def build(graphs, options: dict | None, width: int = WIDTH) -> ir.Model:
    return graphs.plain(HIDDEN, width) if options is None else graphs.packed(HIDDEN, width, **options)


# --- the law ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [None, *PACKED], ids=lambda options: packed_name(options) if options else "float")
def test_kept_logits_are_equal_bit_for_bit(graphs, tmp_path, options):
    save_graph(build(graphs, options), tmp_path / "full.onnx", "full.data")
    full = graphs.session(tmp_path / "full.onnx")
    for seed, size in enumerate((64, 192, 448, WIDTH)):
        index_map = random_map(size, WIDTH, seed)
        model = load_graph(tmp_path / "full.onnx")
        trim_head(model, index_map)
        save_graph(model, tmp_path / "trimmed.onnx", "trimmed.data")
        trimmed = graphs.session(tmp_path / "trimmed.onnx")
        for rows in ROWS:
            feed = graphs.states(HIDDEN, rows, seed)
            expected = full.run(["logits"], feed)[0][..., index_map.target_ids]
            got = trimmed.run(["logits"], feed)[0]
            assert got.shape == (1, rows, size)
            assert np.array_equal(got, expected), f"{size} tokens, {rows} rows"


@given(
    seed=st.integers(0, 2**32 - 1), tiles=st.integers(1, 4), rows=st.sampled_from(ROWS), bits=st.sampled_from((4, 8))
)
@settings(max_examples=40, deadline=None)
def test_any_map_of_whole_tiles_keeps_every_bit(graphs, seed, tiles, rows, bits):
    def head() -> ir.Model:
        return graphs.packed(HIDDEN, 256, bits=bits, zero_points=bool(seed % 2), seed=seed)

    index_map = random_map(tiles * ROW_TILE, 256, seed)
    trimmed = head()
    trim_head(trimmed, index_map)
    feed = graphs.states(HIDDEN, rows, seed)
    assert np.array_equal(graphs.run(trimmed, feed), graphs.run(head(), feed)[..., index_map.target_ids])


@pytest.mark.parametrize("options", [None, PACKED[1], PACKED[-1]], ids=["float", "int4", "int8"])
@pytest.mark.parametrize(("width", "size"), [(512, 1), (512, 63), (512, 447), (515, 64), (515, 192), (515, 515)])
def test_ragged_sizes_keep_the_logits_up_to_rounding(graphs, options, width, size):
    index_map = random_map(size, width, seed=size)
    trimmed = build(graphs, options, width)
    trim_head(trimmed, index_map)
    for rows in ROWS:
        feed = graphs.states(HIDDEN, rows)
        expected = graphs.run(build(graphs, options, width), feed)[..., index_map.target_ids]
        np.testing.assert_allclose(graphs.run(trimmed, feed), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("hidden", [32, 96])
@pytest.mark.parametrize("bits", [4, 8])
def test_flat_scales_and_zero_points_are_sliced_row_by_row(graphs, hidden, bits):
    options = {"bits": bits, "zero_points": True, "flat": True}
    index_map = random_map(128, WIDTH, seed=hidden)
    trimmed = graphs.packed(hidden, WIDTH, **options)
    trim_head(trimmed, index_map)
    scales = trimmed.graph.initializers["head.scales.trimmed"].const_value
    assert scales is not None and tuple(scales.shape) == (128 * hidden // 32,)
    feed = graphs.states(hidden, 3)
    full = graphs.run(graphs.packed(hidden, WIDTH, **options), feed)
    assert np.array_equal(graphs.run(trimmed, feed), full[..., index_map.target_ids])


# --- what else the graph says ----------------------------------------------------------------------------------------


def test_the_trimmed_graph_says_its_new_width_and_holds_no_old_weight(graphs):
    model = graphs.packed(HIDDEN, WIDTH, zero_points=True, bias=True)
    trim_head(model, random_map(128, WIDTH, seed=0))
    assert vocabulary_width(model) == 128
    assert model.graph.outputs[0].shape == ir.Shape([1, "rows", 128])
    assert find_tail(model).product.attributes["N"].as_int() == 128
    kept = ["values", "scales", "zero_points", "bias"]
    assert list(model.graph.initializers) == [f"head.{name}.trimmed" for name in kept]


@pytest.mark.parametrize("options", [None, *PACKED], ids=lambda options: packed_name(options) if options else "float")
@pytest.mark.parametrize("size", [64, 448])
def test_each_dropped_row_saves_exactly_the_head_row_size(graphs, options, size):
    model = build(graphs, options)
    full, row = model_size(model), head_row_size(model)
    trim_head(model, random_map(size, WIDTH, seed=size))
    trimmed = model_size(model)
    assert full.weight_bytes - trimmed.weight_bytes == (WIDTH - size) * row.weight_bytes
    assert full.parameters - trimmed.parameters == (WIDTH - size) * row.parameters


def test_a_head_row_counts_its_weights_and_all_its_bytes(graphs):
    plain = head_row_size(graphs.plain(HIDDEN, WIDTH))
    assert (plain.parameters, plain.weight_bytes) == (HIDDEN, 4 * HIDDEN)
    packed = head_row_size(graphs.packed(HIDDEN, WIDTH, bits=4))
    assert (packed.parameters, packed.weight_bytes) == (HIDDEN, 3 * 16 + 3 * 4)
    packed = head_row_size(graphs.packed(HIDDEN, WIDTH, bits=4, zero_points=True, bias=True))
    assert (packed.parameters, packed.weight_bytes) == (HIDDEN, 3 * 16 + 3 * 4 + 2 + 4)
    packed = head_row_size(graphs.packed(HIDDEN, WIDTH, bits=8, zero_points=True))
    assert (packed.parameters, packed.weight_bytes) == (HIDDEN, 3 * 32 + 3 * 4 + 3)


# --- external data ---------------------------------------------------------------------------------------------------


def embedding_and_head(graphs) -> ir.Model:
    """Ids → an embedding of their own → the head."""
    rng = np.random.default_rng(0)
    ids = graphs.value("input_ids", [1, "rows"], ir.DataType.INT64)
    table = graphs.constant("embedding", rng.normal(size=(WIDTH, HIDDEN)).astype(np.float32))
    weight = graphs.constant("head.weight", rng.normal(size=(HIDDEN, WIDTH)).astype(np.float32))
    embed = graphs.node("Gather", [table, ids], axis=0)
    head = graphs.node("MatMul", [embed.outputs[0], weight], name="head")
    return graphs.model([ids], [embed, head], [graphs.logits_of(head, WIDTH)])


def test_a_graph_with_external_data_is_trimmed_into_its_own_data_file(graphs, tmp_path):
    save_graph(embedding_and_head(graphs), tmp_path / "full.onnx", "full.data")
    index_map = random_map(128, WIDTH, seed=1)
    feed = {"input_ids": np.arange(WIDTH, dtype=np.int64)[None]}
    before = (tmp_path / "full.data").read_bytes()
    model = load_graph(tmp_path / "full.onnx")
    trim_head(model, index_map)
    save_graph(model, tmp_path / "trimmed.onnx", "trimmed.data")
    expected = graphs.run(tmp_path / "full.onnx", feed)[..., index_map.target_ids]
    assert np.array_equal(graphs.run(tmp_path / "trimmed.onnx", feed), expected)
    assert (tmp_path / "full.data").read_bytes() == before
    dropped = 4 * HIDDEN * (WIDTH - 128)
    saved = (tmp_path / "full.data").stat().st_size - (tmp_path / "trimmed.data").stat().st_size
    assert abs(saved - dropped) < 8192  # tensors are aligned in the file


def test_a_trimmed_graph_can_borrow_the_full_models_data_file(graphs, tmp_path):
    save_graph(embedding_and_head(graphs), tmp_path / "full.onnx", "full.data")
    index_map = random_map(64, WIDTH, seed=2)
    model = load_graph(tmp_path / "full.onnx")
    trim_head(model, index_map)
    ir.save(model, tmp_path / "probe.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full.data", "full.onnx", "probe.onnx"]
    feed = {"input_ids": np.arange(WIDTH, dtype=np.int64)[None]}
    expected = graphs.run(tmp_path / "full.onnx", feed)[..., index_map.target_ids]
    assert np.array_equal(graphs.run(tmp_path / "probe.onnx", feed), expected)


# --- tied embeddings -------------------------------------------------------------------------------------------------


def tied(graphs) -> ir.Model:
    """One float matrix (hidden, vocab) as head and, transposed, as embedding; the embedded states are an output too."""
    weight = graphs.constant("tied", np.random.default_rng(0).normal(size=(HIDDEN, WIDTH)).astype(np.float32))
    ids = graphs.value("input_ids", [1, "rows"], ir.DataType.INT64)
    table = graphs.node("Transpose", [weight], perm=[1, 0])
    embed = graphs.node("Gather", [table.outputs[0], ids], axis=0)
    states = embed.outputs[0]
    states.name, states.dtype, states.shape = "states", ir.DataType.FLOAT, ir.Shape([1, "rows", HIDDEN])
    head = graphs.node("MatMul", [states, weight], name="head")
    return graphs.model([ids], [table, embed, head], [graphs.logits_of(head, WIDTH), states])


def test_a_tied_embedding_keeps_every_row(graphs):
    index_map = random_map(128, WIDTH, seed=3)
    trimmed = tied(graphs)
    trim_head(trimmed, index_map)
    shapes = {name: tuple(value.const_value.shape) for name, value in trimmed.graph.initializers.items()}
    assert shapes == {"tied": (HIDDEN, WIDTH), "tied.trimmed": (HIDDEN, 128)}
    feed = {"input_ids": np.arange(WIDTH, dtype=np.int64)[None]}
    assert np.array_equal(graphs.run(trimmed, feed, "states"), graphs.run(tied(graphs), feed, "states"))
    expected = graphs.run(tied(graphs), feed)[..., index_map.target_ids]
    assert np.array_equal(graphs.run(trimmed, feed), expected)


def test_packed_values_that_a_gather_reads_too_stay(graphs):
    def shared() -> ir.Model:
        model = graphs.packed(HIDDEN, WIDTH)
        ids = graphs.value("input_ids", [1, "rows"], ir.DataType.INT64)
        embed = graphs.node("Gather", [model.graph.initializers["head.values"], ids], axis=0)
        rows = embed.outputs[0]
        rows.name, rows.dtype, rows.shape = "packed_rows", ir.DataType.UINT8, ir.Shape([1, "rows", 3, 16])
        model.graph.inputs.append(ids)
        model.graph.append(embed)
        model.graph.outputs.append(rows)
        return model

    index_map = random_map(128, WIDTH, seed=4)
    trimmed = shared()
    trim_head(trimmed, index_map)
    assert sorted(trimmed.graph.initializers) == ["head.scales.trimmed", "head.values", "head.values.trimmed"]
    feed = {**graphs.states(HIDDEN, 3), "input_ids": np.arange(WIDTH, dtype=np.int64)[None]}
    assert np.array_equal(graphs.run(trimmed, feed, "packed_rows"), graphs.run(shared(), feed, "packed_rows"))
    assert np.array_equal(graphs.run(trimmed, feed), graphs.run(shared(), feed)[..., index_map.target_ids])


# --- refusals --------------------------------------------------------------------------------------------------------


def message(error: pytest.ExceptionInfo) -> str:
    return str(error.value)


@pytest.mark.parametrize(("name", "told"), [("lm_head/last", "lm_head/last"), ("", "logits")])
def test_an_unknown_head_is_named(graphs, name, told):
    states = graphs.value("hidden", ["rows", HIDDEN])
    head = graphs.node("PRelu", [states, graphs.constant("weight", np.zeros(WIDTH, np.float32))], name=name)
    model = graphs.model([states], [head], [graphs.logits_of(head, WIDTH)])
    head.name = name
    with pytest.raises(EdgedraftError) as error:
        trim_head(model, IndexMap.identity(WIDTH))
    assert message(error) == (
        f"LM head: node {told}: expected one of DynamicQuantizeMatMul, Gemm, MatMul, MatMulInteger, MatMulNBits, "
        "or elementwise steps after one, got PRelu - export the drafter with one of these heads"
    )


def test_logits_that_no_node_makes_are_refused(graphs):
    logits = graphs.value("logits", [1, "rows", WIDTH])
    with pytest.raises(EdgedraftError) as error:
        find_tail(graphs.model([logits], [], [logits]))
    assert message(error) == "graph output logits: no node makes it"


@pytest.mark.parametrize(("name", "told"), [("lm_head", "lm_head"), ("", "logits")])
def test_a_weight_that_callers_feed_is_refused(graphs, name, told):
    states = graphs.value("hidden", [1, "rows", HIDDEN])
    fed = graphs.value("weight", [HIDDEN, WIDTH])
    head = graphs.node("MatMul", [states, fed], name=name)
    model = graphs.model([states, fed], [head], [graphs.logits_of(head, WIDTH)])
    head.name = name
    with pytest.raises(EdgedraftError) as error:
        trim_head(model, IndexMap.identity(WIDTH))
    assert message(error) == f"LM head: node {told}: input 1 is not a constant weight"


def test_a_map_of_another_vocabulary_is_refused(graphs):
    with pytest.raises(EdgedraftError) as error:
        trim_head(graphs.plain(HIDDEN, WIDTH), IndexMap.identity(WIDTH + 64))
    assert message(error) == f"index map: made for another vocabulary, got {WIDTH}"


@pytest.mark.parametrize("kind", ["plain", "packed"])
def test_a_head_whose_rows_are_not_the_logits_width_is_refused(graphs, kind):
    model = getattr(graphs, kind)(HIDDEN, WIDTH)
    model.graph.outputs[0].shape = ir.Shape([1, "rows", WIDTH - 64])
    with pytest.raises(EdgedraftError) as error:
        trim_head(model, IndexMap.identity(WIDTH - 64))
    assert message(error) == f"LM head: node head: expected {WIDTH - 64} rows, got {WIDTH}"


def test_a_head_with_reordered_groups_is_refused(graphs):
    model = graphs.packed(HIDDEN, WIDTH, bias=True)
    groups = graphs.constant("g_idx", np.zeros(HIDDEN, np.int32))
    model.graph.register_initializer(groups)
    find_tail(model).product.replace_input_with(4, groups)
    with pytest.raises(EdgedraftError) as error:
        trim_head(model, IndexMap.identity(WIDTH))
    assert message(error) == "LM head: node head: g_idx is not supported"


# --- round_to_tile ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "vocab_size", "rounded"),
    [(1, 151936, 64), (64, 151936, 64), (65, 151936, 128), (16383, 151936, 16384), (990, 1000, 1000), (5, 30, 30)],
)
def test_sizes_are_rounded_up_to_the_tile(size, vocab_size, rounded):
    assert round_to_tile(size, vocab_size) == rounded


@given(vocab_size=st.integers(1, 300_000), data=st.data())
def test_a_rounded_size_is_the_smallest_multiple_that_holds_the_size(vocab_size, data):
    size = data.draw(st.integers(1, vocab_size))
    rounded = round_to_tile(size, vocab_size)
    assert size <= rounded <= vocab_size
    assert rounded == vocab_size or (rounded % ROW_TILE == 0 and rounded - size < ROW_TILE)
    assert round_to_tile(rounded, vocab_size) == rounded


@pytest.mark.parametrize("size", [-1, 0, 1001])
def test_a_size_outside_the_vocabulary_is_refused(size):
    with pytest.raises(EdgedraftError) as error:
        round_to_tile(size, 1000)
    assert message(error) == (
        f"draft vocabulary size: expected 1..1000, got {size} - choose a size within the drafter's vocabulary"
    )
