"""The expanded layout: a trimmed drafter whose graph spreads its K logits over the target's vocabulary.

Stock engines refuse a drafter whose logits have another width than the target's; they take this one.
"""

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graphs import LOGITS, add_constant, output_named
from edgedraft.runtime.index_map import IndexMap

_REDUCED = "logits.reduced"


def expand_logits(model: ir.Model, index_map: IndexMap) -> None:
    """Append, in place, the nodes that turn (…, K) logits into (…, vocab) ones with -inf where nothing is mapped.

    One column of -inf is padded on, then every target token gathers its draft column or that one.
    """
    logits = output_named(model, LOGITS)
    assert logits.shape is not None and logits.dtype is not None
    size = index_map.draft_vocab_size
    columns = np.full(index_map.target_vocab_size, size, dtype=np.int64)
    columns[index_map.target_ids] = np.arange(size)
    full = ir.val(LOGITS, logits.dtype, [*logits.shape.dims[:-1], index_map.target_vocab_size])
    logits.name = _REDUCED
    rank = len(logits.shape)
    ends = np.array([*[0] * (2 * rank - 1), 1], dtype=np.int64)  # one column behind the last axis
    padding = add_constant(model.graph, "expand.padding", ends)
    nothing = add_constant(model.graph, "expand.nothing", np.array(-np.inf, dtype=logits.dtype.numpy()))
    picks = add_constant(model.graph, "expand.draft_columns", columns)
    pad = ir.node("Pad", [logits, padding, nothing], {"mode": "constant"}, name="expand/Pad")
    gather = ir.node("Gather", [pad.outputs[0], picks], {"axis": rank - 1}, name="expand/Gather", outputs=[full])
    model.graph.extend([pad, gather])
    position = next(i for i, value in enumerate(model.graph.outputs) if value is logits)
    model.graph.outputs[position] = full
