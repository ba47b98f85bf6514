"""Turn the graph of one draft step into one that scores drafts of every depth along a given text."""

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graph.loading import LOGITS, add_constant, output_named
from edgedraft.runtime.base.records import require
from edgedraft.runtime.onnx.signature import BIAS, POSITIONS, SCORED

_ROTARY_AT, _POSITIONS_AT, _BIAS_AT = (7, 8), 9, 10
"""Places among the inputs of GroupQueryAttention. Source: onnxruntime's ContribOperators.md."""


def score_depths(step: ir.Model, places: int) -> None:
    """Change a step's graph, in place, so that keys and values hold chains of drafts in ``places`` behind the text.

    Three inputs are added: the position of each row (`POSITIONS`), what each row attends to (`BIAS`, (1, 1, rows,
    total), added to the attention's scores), and which rows the head scores (`SCORED`), in place of the last one.
    """
    attention = _only(step, "GroupQueryAttention")
    positions = ir.val(POSITIONS, ir.DataType.INT64, ["batch_size", "sequence_length"])
    bias = ir.val(BIAS, ir.DataType.FLOAT, ["batch_size", 1, "sequence_length", "total_sequence_length"])
    attention.resize_inputs(_BIAS_AT + 1)
    attention.replace_input_with(_POSITIONS_AT, positions)
    attention.replace_input_with(_BIAS_AT, bias)
    for place in _ROTARY_AT:
        _lengthen(step, attention, place, places)
    last_row = next(node for node in step.graph if node.name == "/eagle/last_row/Gather")
    scored = ir.val(SCORED, ir.DataType.INT64, ["scored_rows"])
    last_row.replace_input_with(1, scored)
    step.graph.inputs.extend([positions, bias, scored])
    logits = output_named(step, LOGITS)
    assert logits.shape is not None
    logits.shape = ir.Shape(["batch_size", "scored_rows", logits.shape[2]])


def _lengthen(step: ir.Model, attention: ir.Node, place: int, rows: int) -> None:
    """Add ``rows`` to a table of rotary factors, which must be as long as keys and values; no position uses them."""
    table = attention.inputs[place]
    assert table is not None and table.const_value is not None
    longer = np.pad(table.const_value.numpy(), ((0, rows), (0, 0)))
    attention.replace_input_with(place, add_constant(step.graph, f"{table.name}.longer", longer))
    step.graph.initializers.pop(str(table.name))


def _only(model: ir.Model, kind: str) -> ir.Node:
    found = [node for node in model.graph if node.op_type == kind]
    require(len(found) == 1, f"an EAGLE layer has one {kind}", got=len(found))
    return found[0]
