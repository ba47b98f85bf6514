"""Random matrices for the kernels, what they must yield in exact integer arithmetic, and products without a session."""

import ctypes
from dataclasses import dataclass

import numpy as np

MESSAGE_BYTES = 512


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A matrix in MatMulNBits's layout."""

    columns: int
    depth: int
    block_size: int
    bits: int
    weights: np.ndarray  # uint8 (columns, blocks, block bytes)
    scales: np.ndarray  # float32 (columns, blocks)
    zero_points: np.ndarray | None = None  # uint8 (columns, bytes)
    bias: np.ndarray | None = None  # float32 (columns,)

    @property
    def blocks(self) -> int:
        return -(-self.depth // self.block_size)


class RawMatrix(ctypes.Structure):
    """The C structure of the same name."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("columns", "depth", "block_size", "bits")),
        *(("weights", ctypes.c_void_p), ("weight_count", ctypes.c_int64)),
        *(("scales", ctypes.c_void_p), ("scale_count", ctypes.c_int64)),
        *(("zero_points", ctypes.c_void_p), ("zero_point_count", ctypes.c_int64)),
        *(("bias", ctypes.c_void_p), ("bias_count", ctypes.c_int64)),
    ]


def packed(values, bits):
    """Put 8 / bits neighbouring values of the last axis into each byte, the first in the lowest bits."""
    in_byte = 8 // bits
    short = -values.shape[-1] % in_byte
    values = np.concatenate([values, np.zeros((*values.shape[:-1], short), np.uint8)], axis=-1)
    parts = values.reshape(*values.shape[:-1], -1, in_byte) << (bits * np.arange(in_byte, dtype=np.uint8))
    return np.bitwise_or.reduce(parts, axis=-1).astype(np.uint8)


def unpacked(values, bits, count):
    in_byte = 8 // bits
    parts = values[..., None] >> (bits * np.arange(in_byte, dtype=np.uint8)) & ((1 << bits) - 1)
    return parts.reshape(*values.shape[:-1], -1)[..., :count]


def random_matrix(rng, *, columns, depth, block_size, bits, zero_points=True, bias=True):
    blocks = -(-depth // block_size)
    return Matrix(
        columns=columns,
        depth=depth,
        block_size=block_size,
        bits=bits,
        weights=rng.integers(0, 256, (columns, blocks, block_size * bits // 8), dtype=np.uint8),
        scales=(rng.standard_normal((columns, blocks)) / 64).astype(np.float32),
        zero_points=rng.integers(0, 256, (columns, -(-blocks * bits // 8)), dtype=np.uint8) if zero_points else None,
        bias=rng.standard_normal(columns).astype(np.float32) if bias else None,
    )


def rounded_rows(matrix, x):
    """Round rows to int8 a block: values (blocks, rows, block size), scales (blocks, rows)."""
    rows = x.shape[0]
    padded = np.zeros((rows, matrix.blocks * matrix.block_size), np.float32)
    padded[:, : matrix.depth] = x
    blocked = padded.reshape(rows, matrix.blocks, matrix.block_size).swapaxes(0, 1)
    largest = np.abs(blocked).max(axis=-1)
    usable = np.isfinite(largest) & (largest >= np.float32(1e-30))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        inverse = np.where(usable, np.float32(127) / largest, np.float32(0))
        values = np.where(usable[..., None], np.rint(blocked * inverse[..., None]), np.float32(0))
        scales = np.where(usable, largest / np.float32(127), np.where(np.isfinite(largest), 0, np.nan))
    return values.astype(np.int64), scales.astype(np.float32)


def integer_sums(matrix, values):
    """Return the sum of (weight - zero point) * value for every block, row and column, as integers."""
    weights = unpacked(matrix.weights, matrix.bits, matrix.block_size).astype(np.int64)
    if matrix.zero_points is None:
        zeros = np.full((matrix.columns, matrix.blocks), 1 << (matrix.bits - 1))
    else:
        zeros = unpacked(matrix.zero_points, matrix.bits, matrix.blocks).astype(np.int64)
    centred = (weights - zeros[..., None]).transpose(1, 2, 0)
    # float64 holds these integers exactly and multiplies them much faster than numpy does integers.
    return np.matmul(values.astype(np.float64), centred.astype(np.float64))


def rounded_once(a, b):
    """Return a + b (float64) as float32, rounded once.

    The sum is first rounded to odd: where it is not exact, the neighbour with an odd last bit stands for it, which the
    second rounding never takes for a tie.
    """
    total = a + b
    taken = total - a
    error = (a - (total - taken)) + (b - taken)
    even = (total.view(np.int64) & 1) == 0
    towards = np.where((error > 0) == (total > 0), 1, -1)
    odd = (total.view(np.int64) + towards).view(np.float64)
    return np.where(np.isfinite(error) & (error != 0) & even, odd, total).astype(np.float32)


def expected_product(matrix, x):
    """Return what every kernel must yield, bit for bit: exact sums, then one rounded step a block, in order."""
    values, scales = rounded_rows(matrix, x)
    sums = integer_sums(matrix, values)
    bias = np.zeros(matrix.columns, np.float32) if matrix.bias is None else matrix.bias
    total = np.broadcast_to(bias, (x.shape[0], matrix.columns)).astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        for block in range(matrix.blocks):
            scale = matrix.scales[None, :, block] * scales[block][:, None]
            # The product of an integer below 2^24 and a float32 is exact in float64.
            total = rounded_once(sums[block] * scale.astype(np.float64), total.astype(np.float64))
    return total


def multiply(library, kernel, matrix, x, **changed):
    """Return the product by the named kernel; ``changed`` overrides fields of the C structure. Raises ValueError."""
    x = np.ascontiguousarray(x, np.float32)
    raw = RawMatrix(matrix.columns, matrix.depth, matrix.block_size, matrix.bits)
    for name, field in (("weight", "weights"), ("scale", "scales"), ("zero_point", "zero_points"), ("bias", "bias")):
        array = getattr(matrix, field)
        if array is not None:
            setattr(raw, field, array.ctypes.data)
            setattr(raw, f"{name}_count", array.size)
    for name, value in changed.items():
        setattr(raw, name, value)
    y = np.full((x.shape[0], matrix.columns), np.nan, np.float32)
    message = ctypes.create_string_buffer(MESSAGE_BYTES)
    failed = library.functions.edgedraft_multiply(
        kernel.encode(),
        ctypes.byref(raw),
        ctypes.c_void_p(x.ctypes.data),
        ctypes.c_int64(x.shape[0]),
        ctypes.c_void_p(y.ctypes.data),
        message,
        ctypes.c_size_t(MESSAGE_BYTES),
    )
    if failed:
        raise ValueError(message.value.decode())
    return y


def bits_of(values):
    """Return floats as integers, so that comparing them compares bits; every NaN is one value."""
    return np.where(np.isnan(values), np.float32(np.nan), values).astype(np.float32).view(np.int32)
