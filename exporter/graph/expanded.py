"""The expanded layout: a trimmed drafter whose graph spreads its K logits over the target's vocabulary.

Stock engines refuse a drafter whose logits have another width than the target's; they take this one.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graph.loading import LOGITS, add_constant, output_named
from edgedraft.runtime.base.arrays import Ids
from edgedraft.runtime.core.index_map import IndexMap

_REDUCED = "logits.reduced"


def expand_logits(model: ir.Model, index_map: IndexMap) -> None:
    """Append, in place, the nodes that turn (…, K) logits into (…, vocab) ones with -inf where nothing is mapped.

    A row of -inf is made and the K logits are scattered onto it, which takes a tenth of the time of gathering every
    token of the vocabulary from the K. All nodes exist since opset 11.
    """
    logits = output_named(model, LOGITS)
    assert logits.shape is not None and logits.dtype is not None
    leading = logits.shape.dims[:-1]
    logits.name = _REDUCED

    def constant(name: str, values: Sequence[int] | Ids) -> ir.Value:
        return add_constant(model.graph, f"expand.{name}", np.array(values, dtype=np.int64))

    def append(operator: str, inputs: list[ir.Value], **attributes: int | ir.TensorProtocol) -> ir.Value:
        node = ir.node(operator, inputs, attributes, name=f"expand/{operator}")
        model.graph.append(node)
        return node.outputs[0]

    shape = append("Shape", [logits])
    rows = append("Slice", [shape, constant("first", [0]), constant("last", [-1])])
    wide = append("Concat", [rows, constant("width", [index_map.target_vocab_size])], axis=0)
    nothing = append("ConstantOfShape", [wide], value=ir.tensor(np.array([-np.inf], dtype=logits.dtype.numpy())))
    columns = constant("target_ids", index_map.target_ids.reshape(*[1] * len(leading), -1))
    places = append("Expand", [columns, shape])
    full = append("ScatterElements", [nothing, places, logits], axis=len(leading))
    full.name, full.dtype = LOGITS, logits.dtype
    full.shape = ir.Shape([*leading, index_map.target_vocab_size])
    position = next(i for i, value in enumerate(model.graph.outputs) if value is logits)
    model.graph.outputs[position] = full
