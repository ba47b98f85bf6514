"""A probe's chain is what it says: so many products of its precision, weights of its own, values near 1, right sums."""

import itertools

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgedraft.devices.probing import graphs as probe_graphs
from edgedraft.devices.probing.graphs import (
    FP16,
    FP32,
    INT4,
    INT4_BLOCK32,
    INT8,
    INT8_DYNAMIC,
    PROBED_PRECISIONS,
    GraphSpec,
    build_chain,
    build_reader,
    input_dtype,
    require_onnx,
)
from edgedraft.exporter.graph.blocks import Blocks, BlockScheme, dequantize
from edgedraft.exporter.graph.precisions import TABLE
from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError
from edgedraft.runtime.onnx.session import PlainGraph, SessionSettings

SETTINGS = SessionSettings(threads=2, huge_pages=False)
WIDTH = 256


def built(precision: str, layers: int, width: int = WIDTH) -> onnx.ModelProto:
    one = build_chain(GraphSpec(precision=precision, width=width, weight_bytes=1))
    chain = build_chain(GraphSpec(precision=precision, width=width, weight_bytes=one.weight_bytes * layers * 2 // 3))
    return onnx.load_from_string(chain.graph)


def products(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type != "SimplifiedLayerNormalization"]


def passed(graph: bytes, values: np.ndarray, folder) -> np.ndarray:
    path = folder / "graph.onnx"
    path.write_bytes(graph)
    bound = PlainGraph(path, SETTINGS).bind(values)
    bound.run()
    return bound.output()


@pytest.mark.parametrize("precision", PROBED_PRECISIONS)
def test_a_chain_reads_what_was_asked_and_counts_it(precision):
    chain = build_chain(GraphSpec(precision=precision, width=WIDTH, weight_bytes=600_000))
    model = onnx.load_from_string(chain.graph)
    constants = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name != "gain"]
    assert chain.weight_bytes == sum(array.nbytes for array in constants)
    assert chain.layers == len(products(model)) == len(model.graph.node) // 2
    assert 600_000 <= chain.weight_bytes < 600_000 + 4 * WIDTH**2


@pytest.mark.parametrize("precision", PROBED_PRECISIONS)
def test_a_chain_half_as_wide_reads_as_much_with_four_times_the_products(precision):
    narrow, wide = (
        build_chain(GraphSpec(precision=precision, width=width, weight_bytes=3_000_000)) for width in (256, 512)
    )
    assert narrow.layers == pytest.approx(4 * wide.layers, abs=6)


@pytest.mark.parametrize("precision", PROBED_PRECISIONS)
def test_no_two_products_share_their_weights(precision):
    """ONNX Runtime keeps equal weights once, and then a cache would hold the chain."""
    model = built(precision, 12)
    values = [tensor.raw_data for tensor in model.graph.initializer if tensor.name.startswith("values")]
    assert len(values) > 5
    assert all(one != other for one, other in itertools.combinations(values, 2))


@pytest.mark.parametrize("precision", [name for name in PROBED_PRECISIONS if name != FP16])
@pytest.mark.parametrize("rows", [1, 5])
def test_values_stay_near_one(precision, rows, tmp_path):
    chain = build_chain(GraphSpec(precision=precision, width=WIDTH, weight_bytes=400_000))
    values = np.random.default_rng(3).standard_normal((rows, WIDTH), dtype=np.float32)
    output = passed(chain.graph, values.astype(input_dtype(precision)), tmp_path)
    assert output.shape == (rows, WIDTH)
    np.testing.assert_allclose(np.sqrt(np.square(output).mean(axis=1)), 1, rtol=1e-3)


@pytest.mark.parametrize(
    ("precision", "kinds"),
    [
        (INT4, [("MatMulNBits", 8, 128, 3)] + [("MatMulNBits", 4, 128, 4)] * 9),
        (INT4_BLOCK32, [("MatMulNBits", 4, 32, 3)] * 10),
        (INT8, [("MatMulNBits", 8, 128, 3)] * 10),
        (INT8_DYNAMIC, ([("MatMulNBits", 8, 128, 3)] + [("DynamicQuantizeMatMul", None, None, 3)] * 3) * 3),
        (FP32, [("MatMul", None, None, 2)] * 10),
        (FP16, [("MatMul", None, None, 2)] * 10),
    ],
)
def test_products_are_laid_out_as_the_exporter_lays_them_out(precision, kinds):
    found = []
    for node in products(built(precision, 30))[: len(kinds)]:
        numbers = {attribute.name: attribute.i for attribute in node.attribute}
        assert numbers.get("accuracy_level", 4) == 4
        found.append((node.op_type, numbers.get("bits"), numbers.get("block_size"), len(node.input)))
    assert found == kinds


@pytest.mark.parametrize("precision", [INT4, INT8, INT8_DYNAMIC])
@pytest.mark.parametrize("level", [1, 4])
def test_blocks_are_multiplied_as_precisely_as_was_asked(precision, level):
    spec = GraphSpec(precision=precision, width=WIDTH, weight_bytes=100_000, accuracy_level=level)
    nodes = onnx.load_from_string(build_chain(spec).graph).graph.node
    assert {a.i for node in nodes for a in node.attribute if a.name == "accuracy_level"} == {level}


@pytest.mark.parametrize("precision", [name for name in PROBED_PRECISIONS if name != FP16])
def test_the_exporter_knows_the_precision_by_the_same_name(precision):
    known, model = TABLE[precision], built(precision, 30)
    last = {attribute.name: attribute.i for attribute in products(model)[-1].attribute}
    if known.layout == "blocks":
        assert (last["bits"], last["block_size"]) == (known.bits, known.block_size)
        assert last["accuracy_level"] == known.accuracy_level


@pytest.mark.parametrize(("precision", "bits", "block_size"), [(INT4_BLOCK32, 4, 32), (INT8, 8, 128)])
def test_a_pass_multiplies_by_the_weights_it_claims(precision, bits, block_size, tmp_path):
    chain = build_chain(GraphSpec(precision=precision, width=WIDTH, weight_bytes=1))
    held = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load_from_string(chain.graph).graph.initializer
    }
    scheme = BlockScheme(bits=bits, block_size=block_size, symmetric=True, search=False)
    weight = dequantize(Blocks(values=held["values0"], scales=held["scales0"], zero_points=None), scheme, WIDTH)
    assert weight.std() == pytest.approx(WIDTH**-0.5, rel=0.05)
    values = np.random.default_rng(4).standard_normal((3, WIDTH), dtype=np.float32)
    product = values @ weight.T
    expected = product / np.sqrt(np.square(product).mean(axis=1, keepdims=True))
    np.testing.assert_allclose(passed(chain.graph, values, tmp_path), expected, atol=0.05)


def test_the_reader_reads_all_of_its_input(tmp_path):
    values = np.random.default_rng(5).standard_normal((7, 300), dtype=np.float32)
    np.testing.assert_allclose(passed(build_reader(), values, tmp_path), values.mean(axis=1), atol=1e-6)


def test_an_unknown_precision_is_refused():
    with pytest.raises(EdgedraftError) as error:
        build_chain(GraphSpec(precision="int3", width=WIDTH, weight_bytes=1))
    assert str(error.value) == f"probe: expected one of {', '.join(PROBED_PRECISIONS)}, got int3"


def test_without_onnx_the_extra_is_named(monkeypatch):
    require_onnx()
    monkeypatch.setattr(probe_graphs, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as error:
        require_onnx()
    assert str(error.value) == 'onnx is not installed - pip install "edgedraft[probe]"'
