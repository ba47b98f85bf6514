"""Inside onnxruntime, our kernels replace the built-in product: counted, equal to the reference, or refused."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.runtime.native.graphs import open_graph, product_graph, run
from tests.runtime.native.matrices import bits_of, expected_product, random_matrix

COLUMNS, DEPTH = 100, 300


@pytest.fixture
def preferring(library):
    """Choose the kernel for this test's sessions."""
    yield library.prefer
    library.prefer("")


def matrix_of(bits=4, **options):
    rng = np.random.default_rng(bits)
    return random_matrix(rng, columns=COLUMNS, depth=DEPTH, block_size=32, bits=bits, **options)


def rows_of(*shape):
    return np.random.default_rng(7).standard_normal((*shape, DEPTH)).astype(np.float32)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("zero_points", [False, True])
def test_our_kernel_runs_in_a_session(library, kernels, preferring, bits, bias, zero_points):
    matrix = matrix_of(bits, zero_points=zero_points, bias=bias)
    for kernel in kernels:
        preferring(kernel)
        session, before = open_graph(product_graph(matrix), library), library.products()
        y = run(session, rows_of(5))
        assert library.products() == before + 1
        np.testing.assert_array_equal(bits_of(y), bits_of(expected_product(matrix, rows_of(5))))


def test_sessions_without_the_library_keep_the_built_in_kernel(library):
    before = library.products()
    y = run(open_graph(product_graph(matrix_of())), rows_of(5))
    assert library.products() == before
    np.testing.assert_allclose(y, expected_product(matrix_of(), rows_of(5)), atol=0.05)


@pytest.mark.parametrize("way", ["setting", "environment"])
def test_stock_registers_nothing(library, preferring, monkeypatch, way):
    if way == "setting":
        preferring("stock")
    else:
        monkeypatch.setenv("EDGEDRAFT_KERNELS", "stock")
    session, before = open_graph(product_graph(matrix_of()), library), library.products()
    run(session, rows_of(2))
    assert (library.chosen(), library.products()) == ("stock", before)


def test_the_environment_forces_a_kernel(library, kernels, monkeypatch):
    before = library.portable_products()
    monkeypatch.setenv("EDGEDRAFT_KERNELS", "portable")
    run(open_graph(product_graph(matrix_of()), library), rows_of(2))
    assert library.portable_products() == before + 1
    monkeypatch.setenv("EDGEDRAFT_KERNELS", "fastest")
    with pytest.raises(Exception, match=r"kernels: expected one of auto, stock, .*portable, got fastest"):
        open_graph(product_graph(matrix_of()), library)


@pytest.mark.parametrize("shape", [(), (1,), (17,), (2, 3), (2, 1, 4), (0,), (1, 0)])
def test_leading_dimensions_are_rows(library, shape):
    y = run(open_graph(product_graph(matrix_of(), rank=len(shape) + 1), library), rows_of(*shape))
    assert y.shape == (*shape, COLUMNS)
    expected = expected_product(matrix_of(), rows_of(*shape).reshape(-1, DEPTH)) if y.size else y.reshape(-1, COLUMNS)
    np.testing.assert_array_equal(bits_of(y.reshape(-1, COLUMNS)), bits_of(expected))


def test_how_a_product_is_split_changes_no_bit(library):
    rng = np.random.default_rng(5)
    matrix = random_matrix(rng, columns=1500, depth=1024, block_size=128, bits=4)
    x = rng.standard_normal((130, 1024)).astype(np.float32)
    session = open_graph(product_graph(matrix), library)
    whole = run(session, x)
    np.testing.assert_array_equal(bits_of(whole), bits_of(expected_product(matrix, x)))
    np.testing.assert_array_equal(np.concatenate([run(session, x[i : i + 13]) for i in range(0, 130, 13)]), whole)


def test_threads_may_run_one_session_at_once(library):
    session, inputs = open_graph(product_graph(matrix_of()), library), [rows_of(n) for n in range(1, 9)] * 8
    with ThreadPoolExecutor(4) as pool:
        for x, y in zip(inputs, pool.map(lambda each: run(session, each), inputs), strict=True):
            np.testing.assert_array_equal(bits_of(y), bits_of(expected_product(matrix_of(), x)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"N": COLUMNS + 1}, "B: expected 16160 elements, got 16000"),
        ({"K": DEPTH + 32}, "B: expected 17600 elements, got 16000"),
        ({"K": -1}, "K: expected"),
        ({"bits": 8}, "B: expected 32000 elements"),
        ({"bits": 5}, "bits: expected 2, 4 or 8, got 5"),
        ({"block_size": 64}, "scales: expected 500 elements, got 1000"),
        ({"block_size": 0}, "block_size: expected"),
        ({"computed": ["B"]}, "B: expected a constant"),
        ({"computed": ["scales"]}, "scales: expected a constant"),
        ({"drop": ["scales"]}, "input 2 is marked single but has an empty string"),
    ],
)
def test_hostile_graphs_are_refused_when_opened(library, options, message):
    with pytest.raises(Exception, match=message):
        open_graph(product_graph(matrix_of(), **options), library)


@pytest.mark.parametrize("name", ["scales", "zero_points", "bias"])
def test_arrays_of_other_lengths_are_refused_when_opened(library, name):
    matrix = matrix_of()
    short = {name: getattr(matrix, name)[:-1]}
    fields = {field: getattr(matrix, field) for field in matrix.__dataclass_fields__}
    with pytest.raises(Exception, match=f"{name}: expected"):
        open_graph(product_graph(type(matrix)(**(fields | short))), library)


@pytest.mark.parametrize("name", ["zero_points", "bias"])
def test_inputs_that_a_graph_computes_are_refused_in_a_pass(library, name):
    session = open_graph(product_graph(matrix_of(), computed=[name]), library)
    with pytest.raises(Exception, match="must be constants"):
        run(session, rows_of(2), **{name: getattr(matrix_of(), name)})


@pytest.mark.parametrize("depth", [1, DEPTH - 1, DEPTH + 1])
def test_rows_of_another_length_are_refused_in_a_pass(library, depth):
    session = open_graph(product_graph(matrix_of()), library)
    with pytest.raises(Exception, match=f"the last dimension of A must be K = {DEPTH}"):
        run(session, np.zeros((2, depth), np.float32))
