"""The file of a drafter's full head, from which single rows are read for tokens of the conversation."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedraft.runtime.base.arrays import AnyArray, Float32Array, Ids
from edgedraft.runtime.base.errors import naming
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.tensors import mapped_tensors

WEIGHT, SCALES, ZERO_POINTS = "weight", "scales", "zero_points"
EXPORT_AGAIN = "export the bundle again"

_MOST_ROWS, _MOST_WIDTH = 2**24, 2**22
_FLOATS = {16: np.float16, 32: np.float32}
_PACKED = (4, 8)
_BLOCKS = (16, 32, 64, 128, 256)


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadRowsEntry:
    """A drafter's full head, stored row by row: ``rows`` tokens, each a row of ``width`` numbers.

    ``bits`` of a number: 16 or 32 are floats; 4 and 8 are packed as in MatMulNBits, in blocks of ``block_size`` with a
    scale each, 0 for floats. ``input_bits`` is 8 where the head's product rounds what it reads to 8 bits, block by
    block (accuracy level 4), else 32.
    """

    file: str
    rows: int
    width: int
    bits: int
    block_size: int = 0
    input_bits: int = 32

    def __post_init__(self) -> None:
        require(1 <= self.rows <= _MOST_ROWS, f"head_rows: rows: expected 1..{_MOST_ROWS}", got=self.rows)
        require(1 <= self.width <= _MOST_WIDTH, f"head_rows: width: expected 1..{_MOST_WIDTH}", got=self.width)
        known = (*_PACKED, *_FLOATS)
        require(self.bits in known, f"head_rows: bits: expected one of {known}", got=self.bits)
        blocks = _BLOCKS if self.bits in _PACKED else (0,)
        require(self.block_size in blocks, f"head_rows: block_size: expected one of {blocks}", got=self.block_size)
        inputs = (8, 32) if self.bits in _PACKED else (32,)
        require(self.input_bits in inputs, f"head_rows: input_bits: expected one of {inputs}", got=self.input_bits)

    @property
    def blocks(self) -> int:
        """Return the number of blocks in a row; the last may be longer than the row."""
        return -(-self.width // self.block_size)


class HeadRows:
    """A drafter's full head on disk; rows are read where they are asked for."""

    def __init__(self, entry: HeadRowsEntry, tensors: Mapping[str, AnyArray]) -> None:
        self.entry = entry
        self._tensors = tensors

    def read(self, token_ids: Ids) -> Float32Array:
        """Return the rows of tokens as floats, (tokens, width)."""
        packed = {name: np.asarray(tensor[token_ids]) for name, tensor in self._tensors.items()}
        if self.entry.bits in _FLOATS:
            return packed[WEIGHT].astype(np.float32)
        return unpacked(self.entry, packed)


def open_head_rows(path: Path, entry: HeadRowsEntry) -> HeadRows:
    """Map the file of a full head into memory, after its shapes and types are checked against ``entry``."""
    tensors = mapped_tensors(path)
    with naming(path, EXPORT_AGAIN):
        check_head_rows(entry, tensors)
    return HeadRows(entry, tensors)


def check_head_rows(entry: HeadRowsEntry, tensors: Mapping[str, AnyArray]) -> None:
    """Refuse arrays that are not the head that ``entry`` describes."""
    expected = _shapes(entry)
    for name, (shape, kinds) in expected.items():
        array = tensors.get(name)
        got = None if array is None else f"{array.dtype} {array.shape}"
        fits = array is not None and array.shape == shape and array.dtype in kinds
        if not fits and name == ZERO_POINTS and array is None:
            continue
        types = " or ".join(np.dtype(kind).name for kind in kinds)
        require(fits, f"head rows: {name}: expected {types} {shape}", got=got)
    more = sorted(set(tensors) - set(expected))
    require(not more, f"head rows: expected {', '.join(expected)} alone", got=more[:3])


def _shapes(entry: HeadRowsEntry) -> dict[str, tuple[tuple[int, ...], tuple[type, ...]]]:
    """Return shape and types of each array; zero points may be missing."""
    if entry.bits in _FLOATS:
        return {WEIGHT: ((entry.rows, entry.width), (_FLOATS[entry.bits],))}
    block_bytes = entry.block_size * entry.bits // 8
    return {
        WEIGHT: ((entry.rows, entry.blocks, block_bytes), (np.uint8,)),
        SCALES: ((entry.rows, entry.blocks), (np.float16, np.float32)),
        ZERO_POINTS: ((entry.rows, -(-entry.blocks * entry.bits // 8)), (np.uint8,)),
    }


def unpacked(entry: HeadRowsEntry, packed: Mapping[str, AnyArray]) -> Float32Array:
    """Return packed rows as floats, (rows, width): (value - zero point) · scale, block by block."""
    values = _numbers(packed[WEIGHT], entry.bits)
    middle = np.float32(1 << (entry.bits - 1))
    zeros: AnyArray | np.float32 = middle
    if ZERO_POINTS in packed:
        zeros = _numbers(packed[ZERO_POINTS], entry.bits)[:, : entry.blocks, None].astype(np.float32)
    floats = (values.astype(np.float32) - zeros) * packed[SCALES].astype(np.float32)[:, :, None]
    rows: Float32Array = floats.reshape(len(floats), -1)[:, : entry.width]
    return rows


def _numbers(packed: AnyArray, bits: int) -> AnyArray:
    """Return the numbers along the last axis; of two in a byte the lower half comes first."""
    if bits == 8:
        return packed
    both = np.stack([packed & 15, packed >> 4], axis=-1)
    return both.reshape(*packed.shape[:-1], -1)
