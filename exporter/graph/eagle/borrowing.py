"""Copy the token embedding and the head of a target for its drafter, with the target's packed values."""

from collections.abc import Sequence

import onnx_ir as ir

from edgedraft.exporter.graph.heads.tail import find_tail
from edgedraft.exporter.graph.loading import LOGITS, output_named
from edgedraft.exporter.graph.packing import INPUT_IDS
from edgedraft.runtime.base.errors import EdgedraftError, first_line

_LOOKUPS = ("Gather", "GatherBlockQuantized")


def borrowed_table(target: ir.Model) -> ir.Graph:
    """Return a graph from token ids to the rows of the target's token embedding, before any scaling."""
    for value in target.graph.inputs:
        for reader in value.consumers() if value.name == INPUT_IDS else ():
            if reader.op_type in _LOOKUPS and reader.inputs[1] is value:
                return _extracted(target, [value], reader.outputs[0])
    raise EdgedraftError(f"target: expected a token table that {INPUT_IDS} picks rows from, for its drafter to borrow")


def borrowed_head(target: ir.Model) -> ir.Graph:
    """Return a graph from the states after the target's final norm to its logits: the product and what follows it."""
    states = find_tail(target).product.inputs[0]
    assert states is not None
    return _extracted(target, [states], output_named(target, LOGITS))


def _extracted(target: ir.Model, inputs: Sequence[ir.Value], output: ir.Value) -> ir.Graph:
    try:
        return ir.convenience.extract(target.graph, inputs, [output])
    except ValueError as error:
        rule = f"target: {output.name} depends on more than {inputs[0].name}, so that no drafter can borrow it"
        raise EdgedraftError(rule, got=first_line(error)) from error
