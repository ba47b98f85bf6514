"""Block-wise quantization of a weight matrix in plain numpy: packed values, scales, zero points, and back."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from edgedraft.runtime.base.arrays import Float32Array, UInt8Array
from edgedraft.runtime.base.records import require

_PIECE = 1 << 18
"""Weights quantized at a time."""

_SHRINKS = (1.0, 0.94, 0.88, 0.82, 0.76)


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockScheme:
    """A way to cut rows into blocks that share a scale.

    Without ``symmetric`` each block has a zero point too; with ``search`` the scale is the one of least weighted
    error among several, without it the one that just spans the block.
    """

    bits: int
    block_size: int
    symmetric: bool
    search: bool

    def __post_init__(self) -> None:
        require(self.bits in (4, 8), "block scheme: bits must be 4 or 8", got=self.bits)
        power = self.block_size >= 16 and self.block_size & (self.block_size - 1) == 0
        require(power, "block scheme: block_size must be a power of two from 16", got=self.block_size)
        require(not (self.symmetric and self.search), "block scheme: only zero points are searched for")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Blocks:
    """A quantized (rows, features) matrix as MatMulNBits stores it.

    ``values`` (rows, blocks, bytes) and ``zero_points`` (rows, bytes) hold two 4-bit numbers a byte, the low half
    first; ``scales`` (rows, blocks). Without zero points, zero is the middle of the range.
    """

    values: UInt8Array
    scales: Float32Array
    zero_points: UInt8Array | None


def quantize(rows: Float32Array, scheme: BlockScheme) -> Blocks:
    """Quantize a (rows, features) matrix piece by piece, so that memory holds little more than the result."""
    count, blocks = rows.shape[0], -(-rows.shape[1] // scheme.block_size)
    values = np.empty((count, blocks, scheme.block_size * scheme.bits // 8), dtype=np.uint8)
    scales = np.empty((count, blocks), dtype=np.float32)
    zeros = np.empty((count, -(-blocks * scheme.bits // 8)), dtype=np.uint8)

    def fill(piece: slice) -> None:
        padded = np.zeros((len(range(*piece.indices(count))), blocks * scheme.block_size), dtype=np.float32)
        padded[:, : rows.shape[1]] = rows[piece]
        whole = padded.reshape(-1, blocks, scheme.block_size)
        codes, scales[piece], points = _symmetric(whole, scheme.bits) if scheme.symmetric else _spanned(whole, scheme)
        values[piece] = pack(codes, scheme.bits)
        zeros[piece] = pack(points, scheme.bits)

    with ThreadPoolExecutor() as pool:  # numpy works outside the interpreter's lock
        list(pool.map(fill, _pieces(rows.shape)))
    return Blocks(values=values, scales=scales, zero_points=None if scheme.symmetric else zeros)


def dequantize(blocks: Blocks, scheme: BlockScheme, features: int) -> Float32Array:
    """Return the (rows, features) matrix that ``blocks`` stands for."""
    # Without zero points the format takes the middle of the codes for zero.
    middle = np.uint8(1 << (scheme.bits - 1))
    codes = unpack(blocks.values, scheme.bits).astype(np.float32)
    count = blocks.scales.shape[1]
    points = middle if blocks.zero_points is None else unpack(blocks.zero_points, scheme.bits)[:, :count, None]
    return ((codes - points) * blocks.scales[..., None]).reshape(len(codes), -1)[:, :features].astype(np.float32)


def pack(codes: UInt8Array, bits: int) -> UInt8Array:
    """Pack codes along the last axis into bytes, the low half first; an odd end is filled with zero."""
    if bits == 8:
        return codes
    if codes.shape[-1] % 2:
        codes = np.concatenate([codes, np.zeros_like(codes[..., :1])], axis=-1)
    halves: UInt8Array = codes[..., 0::2] | (codes[..., 1::2] << np.uint8(4))
    return halves


def unpack(packed: UInt8Array, bits: int) -> UInt8Array:
    """Return the codes that `pack` packed, filling included."""
    if bits == 8:
        return packed
    low, high = packed & np.uint8(15), packed >> np.uint8(4)
    return np.stack([low, high], axis=-1).reshape(*packed.shape[:-1], -1)


def _pieces(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield slices of rows that fit a processor's cache."""
    step = max(_PIECE // max(shape[1], 1), 1)
    return (slice(start, start + step) for start in range(0, shape[0], step))


def _symmetric(blocks: Float32Array, bits: int) -> tuple[UInt8Array, Float32Array, UInt8Array]:
    """Quantize with zero in the middle of the codes; the value farthest from zero gets the lowest code.

    ONNX Runtime's own quantizer does the same. Returns codes, scales and zero points.
    """
    middle = 1 << (bits - 1)
    low, high = blocks.min(axis=-1), blocks.max(axis=-1)
    # Codes reach one further below the middle (-8..7 for 4 bits), so the larger side is put there, sign and all.
    scales = np.where(np.abs(high) > np.abs(low), high, low) / np.float32(-middle)
    codes = np.rint(blocks * _inverse(scales)[..., None]) + middle
    return _codes(codes, bits), scales, np.full(scales.shape, middle, dtype=np.uint8)


def _spanned(blocks: Float32Array, scheme: BlockScheme) -> tuple[UInt8Array, Float32Array, UInt8Array]:
    """Quantize from the lowest to the highest value, zero included; return codes, scales and zero points."""
    top = (1 << scheme.bits) - 1
    low, high = np.minimum(blocks.min(axis=-1), 0), np.maximum(blocks.max(axis=-1), 0)
    scales = (high - low) / np.float32(top)
    points = np.rint(-low * _inverse(scales))
    if scheme.search:
        scales = _searched(blocks, scales, points, top)
    codes = np.rint(blocks * _inverse(scales)[..., None]) + points[..., None]
    return _codes(codes, scheme.bits), scales, points.astype(np.uint8)


def _searched(blocks: Float32Array, spans: Float32Array, points: Float32Array, top: int) -> Float32Array:
    """Search for each block the scale of least error among shrunken spans, each refitted to the steps it gives.

    Squared errors are weighted by w = |x| + rms(x), as in llama.cpp's k-quants: large weights matter more. With steps d
    from the zero point the best scale is Σwxd / Σwd², and it takes (Σwxd)² / Σwd² off the error.
    """
    weights = np.abs(blocks) + np.sqrt(np.square(blocks).mean(axis=-1, keepdims=True))
    weighted = weights * blocks
    best, gain = spans.copy(), np.full(spans.shape, -1.0, dtype=np.float32)
    lowest, highest = -points[..., None], top - points[..., None]
    for shrink in _SHRINKS:
        steps = np.rint(blocks * _inverse(spans * np.float32(shrink))[..., None])
        np.clip(steps, lowest, highest, out=steps)
        along = np.einsum("rbi,rbi->rb", weighted, steps)
        # A block of zeros has no steps: the floor keeps 0 / 0 out, and such a block keeps its scale of 0 below.
        squares = np.maximum(np.einsum("rbi,rbi,rbi->rb", weights, steps, steps), np.float32(1e-30))
        better = along * along / squares > gain
        np.copyto(gain, along * along / squares, where=better)
        np.copyto(best, along / squares, where=better)
    return np.where(spans > 0, best, spans)


def _inverse(scales: Float32Array) -> Float32Array:
    """Return 1 / scale, and 0 for a block of zeros."""
    return np.divide(np.float32(1), scales, out=np.zeros_like(scales), where=scales != 0)


def _codes(codes: Float32Array, bits: int) -> UInt8Array:
    return np.clip(codes, 0, (1 << bits) - 1).astype(np.uint8)
