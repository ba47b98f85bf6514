"""Find the text length at which a graph changes its rotary factors, as LongRoPE does.

Such a graph holds two tables and uses the second when a pass ends beyond a certain length. Keys that were rotated by
the first table are then wrong, so the runtime must know that length. It is stored in the graph's metadata.
"""

import onnx_ir as ir

from edgedraft.runtime.onnx.signature import ROPE_SWITCH

_ATTENTION = ("GroupQueryAttention", "RotaryEmbedding")


def note_rope_switch(model: ir.Model) -> int | None:
    """Store the longest text that uses the first rotary table in the metadata of ``model``, and return it.

    Returns None for a graph with one table of factors.
    """
    lengths = {length for node in model.graph if (length := _switch_length(node)) is not None}
    if not lengths:
        return None
    length = min(lengths)
    model.metadata_props[ROPE_SWITCH] = str(length)
    return length


def _switch_length(node: ir.Node) -> int | None:
    """Return the longest text for which an If node chooses its first rotary table; None for other nodes."""
    readers = {reader.op_type for output in node.outputs for reader in output.consumers()}
    condition = node.inputs[0].producer() if node.op_type == "If" and node.inputs[0] is not None else None
    if not readers & set(_ATTENTION) or condition is None or condition.op_type != "Greater":
        return None
    limit = condition.inputs[1]
    constant = None if limit is None else ir.convenience.get_const_tensor(limit)
    return None if constant is None else int(constant.numpy())
