"""A session takes our kernels only where they compute every block-wise product of its graph, on the CPU."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.onnx.block_products import block_products, why_stock
from edgedraft.runtime.onnx.kernel_choice import NOT_BUILT, chosen_kernels
from edgedraft.runtime.onnx.session import PlainGraph, SessionSettings
from tests.runtime.native.conftest import library  # noqa: F401
from tests.runtime.native.graphs import product_graph
from tests.runtime.native.matrices import bits_of, expected_product, random_matrix

BUILT = "edgedraft.runtime.onnx.kernel_choice.own_kernels"


def matrix_of(bits=4, columns=40):
    return random_matrix(np.random.default_rng(bits), columns=columns, depth=96, block_size=32, bits=bits)


def saved(path, *graphs):
    """Save graphs of one product each as one model."""
    model = onnx.load_from_string(graphs[0])
    for number, other in enumerate(graphs[1:]):
        graph = onnx.compose.add_prefix(onnx.load_from_string(other), f"m{number}/").graph
        model.graph.node.extend(graph.node)
        model.graph.initializer.extend(graph.initializer)
        model.graph.input.extend(graph.input)
        model.graph.output.extend(graph.output)
    onnx.save(model, path)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


@pytest.fixture
def products(library):  # noqa: F811
    """Count the products that ours computed since the test began."""
    before = library.products()
    return lambda: library.products() - before


@pytest.mark.parametrize("bits", [4, 8])
def test_products_that_ours_compute_are_taken(path, bits):
    assert why_stock(saved(path, product_graph(matrix_of(bits)))) is None
    (product,) = block_products(path)
    assert (product.attributes["N"], product.weight_bytes) == (40, 40 * 96 * bits // 8)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"accuracy_level": 1}, "a product asks for more than int8 accuracy"),
        ({"accuracy_level": 0}, "a product asks for more than int8 accuracy"),
        ({"bits": 3}, "a product has weights of another layout"),
        ({"block_size": 512}, "a product has weights of another layout"),
        ({"block_size": -32}, "a product has weights of another layout"),
        ({"weight_prepacked": 1}, "a product has its weights in another order"),
        ({"computed": ["B"]}, "a product's weights are computed, or have another type"),
        ({"computed": ["bias"]}, "a product's weights are computed, or have another type"),
    ],
)
def test_one_product_that_ours_cannot_compute_keeps_stock(path, options, reason):
    assert why_stock(saved(path, product_graph(matrix_of()), product_graph(matrix_of(), **options))) == reason


def test_float_zero_points_keep_stock(path):
    model = onnx.load_from_string(product_graph(matrix_of()))
    (zero_points,) = (tensor for tensor in model.graph.initializer if tensor.name == "zero_points")
    zero_points.CopyFrom(numpy_helper.from_array(np.zeros((40, 3), np.float32), "zero_points"))
    onnx.save(model, path)
    assert why_stock(path) == "a product's weights are computed, or have another type"


def test_weights_that_a_caller_may_replace_keep_stock(path):
    model = onnx.load_from_string(product_graph(matrix_of()))
    model.graph.input.append(helper.make_tensor_value_info("B", TensorProto.UINT8, None))
    onnx.save(model, path)
    assert why_stock(path) == "a product's weights are computed, or have another type"


def test_products_in_branches_count(path):
    inner = onnx.load_from_string(product_graph(matrix_of(), accuracy_level=0)).graph
    outer = onnx.load_from_string(product_graph(matrix_of()))
    outer.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner))
    onnx.save(outer, path)
    assert (len(block_products(path)), why_stock(path)) == (3, "a product asks for more than int8 accuracy")


@pytest.mark.parametrize(("columns", "reason"), [(1, None), (400, "too many 2-bit weights")])
def test_more_than_a_hundredth_on_the_portable_kernel_keeps_stock(path, columns, reason):
    saved(path, product_graph(matrix_of(columns=400)), product_graph(matrix_of(2, columns=columns)))
    assert why_stock(path) == reason
    assert why_stock(path, forced=True) is None


def test_a_graph_without_block_wise_products_keeps_stock(path):
    model = onnx.load_from_string(product_graph(matrix_of()))
    model.graph.node[0].op_type = "MatMulFloat"
    onnx.save(model, path)
    assert why_stock(path) == "no products with block-wise weights"


@pytest.mark.parametrize(
    ("kernels", "options", "runs"),
    [("auto", {}, 1), ("portable", {}, 1), ("stock", {}, 0), ("auto", {"accuracy_level": 1}, 0)],
)
def test_sessions_run_the_kernels_that_were_chosen(path, products, kernels, options, runs):
    graph = PlainGraph(saved(path, product_graph(matrix_of(), **options)), SessionSettings(threads=2, kernels=kernels))
    x = np.random.default_rng(1).standard_normal((3, 96)).astype(np.float32)
    bound = graph.bind(x)
    bound.run()
    assert (products(), graph.kernels.name == "stock") == (runs, runs == 0)
    if runs:
        np.testing.assert_array_equal(bits_of(bound.output()), bits_of(expected_product(matrix_of(), x)))


def test_only_sessions_on_the_cpu_take_them(path):
    with chosen_kernels(saved(path, product_graph(matrix_of())), "webgpu", "auto") as choice:
        assert (choice.name, choice.reason) == ("stock", "only a CPU runs own kernels")


def test_an_installation_without_them_keeps_stock_and_says_why(path, monkeypatch):
    monkeypatch.setattr(BUILT, lambda: None)
    saved(path, product_graph(matrix_of()))
    graph = PlainGraph(path, SessionSettings(threads=2))
    assert (graph.kernels.name, graph.kernels.reason) == ("stock", NOT_BUILT)
    with pytest.raises(EdgedraftError, match="kernels avx2 cannot be used: own kernels were not built"):
        PlainGraph(path, SessionSettings(threads=2, kernels="avx2"))


def test_kernels_asked_for_by_name_are_not_replaced_silently(path, products):
    saved(path, product_graph(matrix_of(), accuracy_level=1))
    with pytest.raises(EdgedraftError, match="kernels portable cannot be used: a product asks for more"):
        PlainGraph(path, SessionSettings(threads=2, kernels="portable"))
    with pytest.raises(EdgedraftError, match=r"kernels: expected one of auto, stock, .*, got fastest"):
        PlainGraph(path, SessionSettings(threads=2, kernels="fastest"))
    with chosen_kernels(path, "cpu", "auto") as choice:  # the refused preference did not stay
        assert choice.reason == "a product asks for more than int8 accuracy"


@pytest.mark.parametrize(
    ("best", "taken"), [("avx512vnni", "avx512vnni"), ("avxvnni", "avxvnni"), ("avx2", "avx2"), ("i8mm", "stock")]
)
def test_auto_takes_only_kernels_that_were_measured_faster(path, library, monkeypatch, best, taken):  # noqa: F811
    monkeypatch.delenv("EDGEDRAFT_KERNELS", raising=False)
    monkeypatch.setattr(type(library), "chosen", lambda self: best)
    monkeypatch.setattr(BUILT, lambda: library)
    with chosen_kernels(saved(path, product_graph(matrix_of())), "cpu", "auto") as choice:
        assert choice.name == taken


def test_a_kernel_that_the_user_forces_is_taken(path, library, monkeypatch):  # noqa: F811
    monkeypatch.setenv("EDGEDRAFT_KERNELS", "avx2")
    monkeypatch.setattr(type(library), "chosen", lambda self: "avx2")
    monkeypatch.setattr(BUILT, lambda: library)
    with chosen_kernels(saved(path, product_graph(matrix_of())), "cpu", "auto") as choice:
        assert choice.name == "avx2"
