"""Block quantization against ONNX Runtime's own quantizer, its error bounds, and the packing of 4-bit codes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnxruntime.capi._pybind_state import quantize_matmul_4bits, quantize_matmul_8bits

from edgedraft.exporter.graph.blocks import BlockScheme, dequantize, pack, quantize, unpack


def scheme(bits: int = 4, block_size: int = 32, *, symmetric: bool = False, search: bool = False) -> BlockScheme:
    return BlockScheme(bits=bits, block_size=block_size, symmetric=symmetric, search=search)


def random_rows(count: int, features: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, features)).astype(np.float32)


SCHEMES = [
    scheme(bits, size, symmetric=symmetric, search=search)
    for bits in (4, 8)
    for size in (32, 128)
    for symmetric, search in ((True, False), (False, False), (False, True))
]


def name_of(each: BlockScheme) -> str:
    return (
        f"int{each.bits}-{each.block_size}-{'symmetric' if each.symmetric else 'search' if each.search else 'spanned'}"
    )


# --- against the original --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("features", [128, 96, 80])
@pytest.mark.parametrize("symmetric", [True, False])
def test_plain_rounding_is_onnxruntimes_own(bits, features, symmetric):
    """Values, scales and zero points as the model builder's quantizer makes them; ties may round the other way."""
    rows, blocks = random_rows(48, features), -(-features // 32)
    values = np.zeros((48, blocks, 4 * bits), dtype=np.uint8)
    scales = np.zeros(48 * blocks, dtype=np.float32)
    zeros = np.zeros(48 * -(-blocks * bits // 8), dtype=np.uint8)
    original = {4: quantize_matmul_4bits, 8: quantize_matmul_8bits}[bits]
    original(values, np.ascontiguousarray(rows.T), scales, zeros, 32, 48, features, symmetric)
    ours = quantize(rows, scheme(bits, symmetric=symmetric))
    np.testing.assert_allclose(ours.scales.reshape(-1), scales, rtol=1e-6)
    differing = unpack(ours.values, bits).reshape(48, -1) != unpack(values, bits).reshape(48, -1)
    assert differing[:, :features].mean() < 0.001  # what fills the last block may differ
    if not symmetric:
        points = [unpack(each.reshape(48, -1), bits)[:, :blocks] for each in (ours.zero_points, zeros)]
        assert np.array_equal(*points)


# --- error -----------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 9999), features=st.integers(1, 300), spread=st.sampled_from((1e-6, 0.02, 50.0)))
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("each", [each for each in SCHEMES if not each.search], ids=name_of)
def test_no_value_moves_more_than_a_step(each, seed, features, spread):
    """Half a step by rounding; half a step more by rounding the zero point, or where the far end has one code less."""
    rows = random_rows(5, features, seed) * np.float32(spread)
    blocks = quantize(rows, each)
    steps = np.repeat(np.abs(blocks.scales), each.block_size, axis=1)[:, :features]
    assert np.all(np.abs(dequantize(blocks, each, features) - rows) <= steps * 1.001)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("block_size", [32, 128])
@pytest.mark.parametrize("seed", range(5))
def test_searching_never_adds_weighted_error_to_a_block(bits, block_size, seed):
    rows = random_rows(64, 256, seed) ** 3
    blocks = rows.reshape(-1, block_size)
    weights = np.abs(blocks) + np.sqrt((blocks**2).mean(axis=1, keepdims=True))
    errors = []
    for search in (False, True):
        each = scheme(bits, block_size, search=search)
        error = dequantize(quantize(rows, each), each, 256) - rows
        errors.append((weights * error.reshape(-1, block_size) ** 2).sum(axis=1))
    assert np.all(errors[1] <= errors[0] * 1.01)
    assert errors[1].sum() < errors[0].sum()


@pytest.mark.parametrize("each", SCHEMES, ids=name_of)
def test_zeros_stay_zeros_and_a_row_of_one_sign_is_kept(each):
    rows = np.zeros((3, 160), dtype=np.float32)
    rows[1] = np.linspace(5, 6, 160)
    rows[2] = -rows[1]
    back = dequantize(quantize(rows, each), each, 160)
    assert np.array_equal(back[0], rows[0])
    np.testing.assert_allclose(back[1:], rows[1:], atol=6 / (1 << (each.bits - 1)))


def test_rows_are_quantized_independently_of_each_other():
    """What makes trimming exact; it also shows that the pieces the work is cut into leave no trace."""
    rows, each = random_rows(3000, 160), scheme(search=True)
    whole, some = quantize(rows, each), quantize(rows[1700:2100], each)
    assert np.array_equal(whole.values[1700:2100], some.values)
    assert np.array_equal(whole.scales[1700:2100], some.scales)
    assert np.array_equal(whole.zero_points[1700:2100], some.zero_points)


# --- packing ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 15), min_size=1, max_size=9))
def test_codes_survive_packing(codes):
    packed = pack(np.array(codes, dtype=np.uint8), 4)
    assert len(packed) == -(-len(codes) // 2)
    assert packed[0] & 15 == codes[0]
    assert unpack(packed, 4).tolist() == codes + [0] * (len(codes) % 2)


# --- refusals --------------------------------------------------------------------------------------------------------
