"""Steps after a product that move no logit within its row: Reshape, Squeeze and Unsqueeze."""

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graph.heads.cuts import constant_of, forget, input_at, refusal
from edgedraft.exporter.graph.loading import add_constant

RESHAPES = {"Reshape", "Squeeze", "Unsqueeze"}
"""Known by what they read at 0; at 1 stand the shape or the axes."""


def check_reshape(step: ir.Node, width: int) -> None:
    """Refuse a step after which the tokens might not lie along the last axis."""
    stated = _stated(step)
    rows_last = stated[-1:] in ([width], [-1]) if step.op_type == "Reshape" else stated and set(stated) <= {0, 1}
    if not rows_last:
        expected = f"a shape that ends in {width}" if step.op_type == "Reshape" else "axes before the last"
        raise refusal(step, f"expected {expected}", got=stated or "one that is computed")


def set_shape(step: ir.Node, width: int, size: int) -> None:
    """Write the new width where a Reshape states the old one."""
    if step.op_type != "Reshape" or _stated(step)[-1] != width:
        return
    old = step.inputs[1]
    assert old is not None and step.graph is not None
    new = np.array([*_stated(step)[:-1], size], dtype=np.int64)
    step.replace_input_with(1, add_constant(step.graph, f"{old.name}.trimmed", new))
    forget(step.graph, old)


def _stated(step: ir.Node) -> list[int]:
    """Return the shape or the axes, empty where they are computed."""
    tensor, attribute = constant_of(input_at(step, 1)), step.attributes.get("axes")
    if tensor is not None:
        return [int(number) for number in tensor.numpy().reshape(-1)]
    return list(attribute.as_ints()) if attribute is not None else []
