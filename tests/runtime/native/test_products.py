"""All kernels yield the same bits: exact integer sums, rounded in one order, whatever stands beside a row."""

import numpy as np
import pytest

from tests.runtime.native.matrices import (
    Matrix,
    bits_of,
    expected_product,
    integer_sums,
    multiply,
    packed,
    random_matrix,
)

SHAPES, PARTS = 2000, 10
BLOCK_SIZES = (16, 32, 64, 128, 256)


def random_rows(rng, rows, depth):
    """Rows of usual size, with some blocks of zeros, tiny and huge values, and a few that are no numbers."""
    x = rng.standard_normal((rows, depth)).astype(np.float32)
    kind = rng.integers(0, 12)
    if kind < 4:
        start = int(rng.integers(0, depth))
        strange = (0, 1e-35, 1e30, np.nan, np.inf)[int(rng.integers(0, 5))]
        x[int(rng.integers(0, rows)), start : start + int(rng.integers(1, 40))] = strange
    return x


def random_case(rng):
    block_size = int(rng.choice(BLOCK_SIZES))
    matrix = random_matrix(
        rng,
        columns=int(rng.integers(1, 70)),
        depth=int(rng.integers(1, 3 * block_size + 20)),
        block_size=block_size,
        bits=int(rng.choice([4, 8])),
        zero_points=bool(rng.integers(0, 2)),
        bias=bool(rng.integers(0, 2)),
    )
    return matrix, random_rows(rng, int(rng.integers(1, 17)), matrix.depth)


@pytest.mark.parametrize("part", range(PARTS))
def test_products_are_exact_integer_sums_with_the_stated_rounding(library, kernels, part):
    rng = np.random.default_rng(part)
    for _ in range(SHAPES // PARTS):
        matrix, x = random_case(rng)
        expected = bits_of(expected_product(matrix, x))
        for kernel in kernels:
            np.testing.assert_array_equal(bits_of(multiply(library, kernel, matrix, x)), expected, err_msg=kernel)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_a_row_does_not_depend_on_the_rows_beside_it(library, kernels, bits, block_size):
    rng = np.random.default_rng(bits * block_size)
    matrix = random_matrix(rng, columns=50, depth=2 * block_size + 5, block_size=block_size, bits=bits)
    x = rng.standard_normal((16, matrix.depth)).astype(np.float32)
    for kernel in kernels:
        alone = np.concatenate([multiply(library, kernel, matrix, x[row : row + 1]) for row in range(16)])
        for rows in range(2, 17):
            first = int(rng.integers(0, 17 - rows))
            some = multiply(library, kernel, matrix, x[first : first + rows])
            np.testing.assert_array_equal(bits_of(some), bits_of(alone[first : first + rows]), err_msg=kernel)


def integer_case(bits, weight, value, zero_point):
    """All weights, values and zero points alike; scales of 1, so that the result is the integer sum itself."""
    columns, block_size = 33, 256
    return Matrix(
        columns=columns,
        depth=block_size,
        block_size=block_size,
        bits=bits,
        weights=packed(np.full((columns, 1, block_size), weight, np.uint8), bits),
        scales=np.ones((columns, 1), np.float32),
        zero_points=packed(np.full((columns, 1), zero_point, np.uint8), bits),
    ), np.full((3, block_size), value, np.float32)


# AVX2 adds pairs of products in 16 bits, where 2 * 255 * 127 and, over eight pairs, more than 15 would not fit.
@pytest.mark.parametrize("value", [-127, 127])
@pytest.mark.parametrize(
    ("bits", "weight", "zero_point"), [(8, 255, 0), (8, 0, 255), (8, 128, 127), (8, 0, 128), (4, 15, 0), (4, 0, 15)]
)
def test_the_largest_sums_do_not_saturate(library, kernels, bits, weight, zero_point, value):
    matrix, x = integer_case(bits, weight, value, zero_point)
    for kernel in kernels:
        assert np.unique(multiply(library, kernel, matrix, x)).tolist() == [(weight - zero_point) * value * 256]


def test_the_reference_itself_is_the_plain_product():
    """On integers that rounding leaves alone, the reference is numpy's product of the unpacked matrix."""
    rng = np.random.default_rng(0)
    weights, x = rng.integers(0, 16, (20, 64), dtype=np.uint8), rng.integers(-127, 128, (5, 64)).astype(np.float32)
    x[:, [0, 32]] = 127  # the scale of each block is then 1
    matrix = Matrix(
        columns=20,
        depth=64,
        block_size=32,
        bits=4,
        weights=packed(weights.reshape(20, 2, 32), 4),
        scales=np.ones((20, 2), np.float32),
    )
    plain = x @ (weights.astype(np.float32) - 8).T
    np.testing.assert_array_equal(expected_product(matrix, x), plain)
    blocks = x.reshape(5, 2, 32).swapaxes(0, 1).astype(np.int64)
    np.testing.assert_array_equal(integer_sums(matrix, blocks).sum(axis=0), plain)


def test_two_bits_take_the_portable_kernel(library, kernels):
    rng = np.random.default_rng(2)
    matrix = random_matrix(rng, columns=21, depth=75, block_size=32, bits=2)
    x = rng.standard_normal((4, 75)).astype(np.float32)
    for kernel in kernels:
        np.testing.assert_array_equal(
            bits_of(multiply(library, kernel, matrix, x)), bits_of(expected_product(matrix, x))
        )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"columns": 0}, r"N: expected 1 to 2\^31 - 1, got 0"),
        ({"columns": -3}, "N: expected"),
        ({"columns": 1 << 40}, "N: expected"),
        ({"depth": 0}, "K: expected"),
        ({"columns": 21}, "B: expected 1344 elements, got 1280"),
        ({"depth": 129}, "B: expected 1920 elements, got 1280"),
        ({"block_size": 0}, "block_size: expected 16, 32, 64, 128 or 256, got 0"),
        ({"block_size": 48}, "block_size: expected"),
        ({"block_size": 512}, "block_size: expected"),
        ({"bits": 3}, "bits: expected 2, 4 or 8, got 3"),
        ({"bits": 8}, "B: expected 2560 elements, got 1280"),
        ({"weights": None}, "B: expected a constant"),
        ({"scales": None}, "scales: expected a constant"),
        ({"scale_count": 39}, "scales: expected 40 elements, got 39"),
        ({"zero_point_count": 19}, "zero_points: expected 20 elements, got 19"),
        ({"bias_count": 19}, "bias: expected 20 elements, got 19"),
    ],
)
def test_sizes_that_do_not_fit_each_other_are_refused(library, kernels, changed, message):
    rng = np.random.default_rng(3)
    matrix = random_matrix(rng, columns=20, depth=128, block_size=64, bits=4)
    for kernel in kernels:
        with pytest.raises(ValueError, match=f"MatMulNBits: {message}"):
            multiply(library, kernel, matrix, np.zeros((1, 128), np.float32), **changed)
