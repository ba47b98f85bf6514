"""The full head of a drafter, row by row, and the hidden state that it reads, for rows from the conversation."""

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graph.external import taken
from edgedraft.exporter.graph.heads.cuts import Cut, constant_of, input_at, refusal
from edgedraft.exporter.graph.heads.products import product_cuts, row_parameters
from edgedraft.exporter.graph.heads.tail import Tail, find_tail
from edgedraft.exporter.graph.loading import vocabulary_width
from edgedraft.exporter.graph.taps import add_features
from edgedraft.runtime.base.arrays import AnyArray
from edgedraft.runtime.bundle.head_rows_file import SCALES, WEIGHT, ZERO_POINTS, HeadRowsEntry
from edgedraft.runtime.onnx.signature import FEATURES

_REMEDY = "leave rows from the conversation out"
_ROUNDED_INPUT = 4
"""The accuracy level at which MatMulNBits rounds its input to 8 bits."""
_INTO_MATRIX = {"Identity", "Transpose"}
"""Steps between a float weight and its product that change no number."""
_PACKED = {1: WEIGHT, 2: SCALES, 3: ZERO_POINTS}
"""The arrays of a MatMulNBits by its inputs."""


def tap_head(model: ir.Model) -> None:
    """Add the output ``features``, the hidden state (batch, tokens, width) that the head reads, in place.

    Nothing else changes, and a pass that does not fetch the output costs the same.
    """
    tail = find_tail(model)
    state = tail.product.inputs[0]
    assert state is not None
    planes = None if state.shape is None else len(state.shape)
    if planes not in (None, 3):
        raise refusal(tail.product, "expected a hidden state (batch, tokens, width)", got=state.shape, remedy=_REMEDY)
    add_features(model, [state], _row_width(tail, vocabulary_width(model)))


def untap(model: ir.Model) -> None:
    """Take the output of `tap_head` away again, for engines that know nothing of it."""
    features = next((value for value in model.graph.outputs if value.name == FEATURES), None)
    if features is None:
        return
    maker = features.producer()
    model.graph.outputs.remove(features)
    if maker is not None:
        model.graph.remove(maker, safe=True)


def head_entry(model: ir.Model, file: str) -> HeadRowsEntry:
    """Describe the whole head of ``model`` as `head_tensors` gives it, to be stored in ``file``.

    Raises `EdgedraftError` for a head whose logits are not one product of float weights, or of blocks of 4 or 8 bits.
    """
    tail, tokens = find_tail(model), vocabulary_width(model)
    _require_product_alone(tail)
    product, (weight, *others) = tail.product, product_cuts(tail.product, tokens)
    if product.op_type == "MatMulNBits":
        return _packed_entry(product, others, tokens, file)
    plain = product.op_type == "MatMul" or (product.op_type == "Gemm" and _is_plain(product))
    if not plain or others or not _is_matrix(product.inputs[1]):
        rule = "rows from the conversation need a product of float weights alone"
        raise refusal(product, rule, got=product.op_type, remedy=_REMEDY)
    if weight.tensor.dtype not in (ir.DataType.FLOAT, ir.DataType.FLOAT16):
        raise refusal(product, "expected float weights of 16 or 32 bits", got=weight.tensor.dtype, remedy=_REMEDY)
    return HeadRowsEntry(file=file, rows=tokens, width=_row_width(tail, tokens), bits=int(weight.tensor.dtype.bitwidth))


def head_tensors(model: ir.Model, entry: HeadRowsEntry) -> dict[str, AnyArray]:
    """Return the arrays of the whole head that ``entry`` describes, a row for each token."""
    product = find_tail(model).product
    cuts = product_cuts(product, entry.rows)
    if product.op_type != "MatMulNBits":
        [weight] = cuts
        rows = taken(weight.tensor, np.arange(entry.rows, dtype=np.int64), weight.axis)
        return {WEIGHT: np.ascontiguousarray(rows if weight.axis % 2 == 0 else rows.T)}
    arrays: dict[str, AnyArray] = {_PACKED[cut.path[0]]: cut.tensor.numpy().reshape(entry.rows, -1) for cut in cuts}
    arrays[WEIGHT] = arrays[WEIGHT].reshape(entry.rows, entry.blocks, -1)
    return arrays


def _row_width(tail: Tail, tokens: int) -> int:
    """Return how many numbers a row of a head of so many tokens has."""
    return row_parameters(tail.product, product_cuts(tail.product, tokens)[0].tensor, tokens)


def _require_product_alone(tail: Tail) -> None:
    for step in tail.steps:
        if step.op_type not in ("Cast", "Identity"):
            rule = "rows from the conversation need logits that nothing changes behind their product"
            raise refusal(step, rule, got=step.op_type, remedy=_REMEDY)


def _packed_entry(product: ir.Node, others: list[Cut], tokens: int, file: str) -> HeadRowsEntry:
    if input_at(product, 5) is not None:
        raise refusal(product, "rows from the conversation need a head without a bias", remedy=_REMEDY)
    for cut in others:
        if _PACKED[cut.path[0]] == ZERO_POINTS and cut.tensor.dtype != ir.DataType.UINT8:
            raise refusal(product, "rows from the conversation need packed zero points", remedy=_REMEDY)
    level = product.attributes.get("accuracy_level")
    return HeadRowsEntry(
        file=file,
        rows=tokens,
        width=product.attributes["K"].as_int(),
        bits=product.attributes["bits"].as_int(),
        block_size=product.attributes["block_size"].as_int(),
        input_bits=8 if level is not None and level.as_int() == _ROUNDED_INPUT else 32,
    )


def _is_plain(product: ir.Node) -> bool:
    """Check that a Gemm is the product of its first two inputs alone."""
    alpha, turned = product.attributes.get("alpha"), product.attributes.get("transA")
    scaled = alpha is not None and alpha.as_float() != 1.0
    return not scaled and (turned is None or not turned.as_int()) and input_at(product, 2) is None


def _is_matrix(operand: ir.Value | None) -> bool:
    """Check that an operand is a constant, perhaps turned, with no number changed on the way."""
    while operand is not None and constant_of(operand) is None:
        maker = operand.producer()
        if maker is None or maker.op_type not in _INTO_MATRIX:
            return False
        operand = maker.inputs[0]
    return operand is not None
