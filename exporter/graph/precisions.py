"""The precisions that a model can be converted to: one record each, by the name that users type."""

from dataclasses import dataclass, replace

from edgedraft.exporter.graph.blocks import BlockScheme
from edgedraft.runtime.base.records import require

FLOAT, BLOCKS, CHANNELS = "float", "blocks", "channels"

EMBEDDING_BLOCK_SIZE = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision:
    """A way to store and multiply weights.

    ``layout`` is FLOAT (as built), BLOCKS (``block_size`` weights of a row share a scale; MatMulNBits) or CHANNELS (a
    row shares one; DynamicQuantizeMatMul, where activations allow it). ``attention_bits`` are for the attention's
    projections: a tenth of the weights, and those that a coarse block harms most. ``accuracy_level`` is MatMulNBits's:
    4 multiplies in int8, 1 in float. ``embedding_bits`` are for the token table; 32 leaves it float.
    """

    name: str
    purpose: str
    layout: str
    bits: int
    attention_bits: int
    block_size: int
    accuracy_level: int
    symmetric: bool
    embedding_bits: int

    def scheme(self, *, attention: bool = False) -> BlockScheme:
        """Return how a matrix is cut into blocks."""
        return _scheme(self.attention_bits if attention else self.bits, self.block_size, self.symmetric)

    def embedding_scheme(self) -> BlockScheme | None:
        """Return how the token table is cut; None leaves it float."""
        return None if self.embedding_bits == 32 else _scheme(self.embedding_bits, EMBEDDING_BLOCK_SIZE, False)


def _scheme(bits: int, block_size: int, symmetric: bool) -> BlockScheme:
    """Return the scheme; with 8 bits, zero points and a search for scales gain nothing and are left out."""
    plain = symmetric or bits == 8
    return BlockScheme(bits=bits, block_size=block_size, symmetric=plain, search=not plain)


_INT4 = Precision(
    name="int4",
    purpose="the smallest files and the fastest step",
    layout=BLOCKS,
    bits=4,
    attention_bits=8,
    block_size=128,
    accuracy_level=4,
    symmetric=False,
    embedding_bits=4,
)
_INT4_BLOCK32 = replace(
    _INT4,
    name="int4-block32",
    purpose="the weights that onnxruntime-genai's model builder makes by default",
    attention_bits=4,
    block_size=32,
    symmetric=True,
)
_INT4_BLOCK64 = replace(_INT4, name="int4-block64", purpose="int4 in blocks of 64", block_size=64)
_INT4_BLOCK32_ZP = replace(
    _INT4, name="int4-block32-zp", purpose="int4 in blocks of 32, with zero points", block_size=32
)
_INT4_EXACT = replace(
    _INT4, name="int4-exact", purpose="int4's weights multiplied in float: no pass rounds activations", accuracy_level=1
)
_INT8 = replace(
    _INT4_BLOCK32,
    name="int8",
    purpose="nearly fp32's own choices",
    bits=8,
    attention_bits=8,
    block_size=128,
    embedding_bits=8,
)
_INT8_TABLE4 = replace(
    _INT8, name="int8-table4", purpose="int8 with a 4-bit token table, for small models", embedding_bits=4
)
_INT8_DYNAMIC = replace(_INT8, name="int8-dynamic", purpose="the cheapest extra rows in a pass", layout=CHANNELS)
_FP32 = replace(
    _INT8_DYNAMIC,
    name="fp32",
    purpose="the weights as they are, by which the others are judged",
    layout=FLOAT,
    bits=32,
    attention_bits=32,
    embedding_bits=32,
)

_ALL = (
    *(_INT4, _INT4_BLOCK64, _INT4_BLOCK32_ZP, _INT4_BLOCK32, _INT4_EXACT),
    *(_INT8_TABLE4, _INT8, _INT8_DYNAMIC, _FP32),
)
TABLE = {each.name: each for each in _ALL}
PRECISIONS = tuple(TABLE)
DEFAULT = "int4"
"""The smallest precision; "auto" takes it where nothing can be measured."""
AUTO = "auto"
"""Asks for the smallest precision that keeps near fp32."""
CANDIDATES = (DEFAULT, "int4-block64", "int4-block32-zp", "int8-table4", "int8", "fp32")
"""The precisions that "auto" tries, the smallest first; fp32 is its own reference."""

_TIMED_AS = {"int4-block64": "int4", "int4-block32-zp": "int4-block32", "int8-table4": "int8"}


def timed_as(name: str) -> str:
    """Return the precision whose pass times on a device stand for those of ``name``: its products are nearly equal."""
    return _TIMED_AS.get(name, name)


def precision_named(name: str) -> Precision:
    """Return the precision called ``name``."""
    require(name in TABLE, f"precision: expected one of {', '.join(PRECISIONS)}", got=name)
    return TABLE[name]
