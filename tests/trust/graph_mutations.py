"""Seeded mutations of ONNX graphs: tensors, nodes, inputs and outputs become others."""

from collections.abc import Callable
from random import Random
from typing import Any

from tests.trust.mutations import mutate_bytes


def mutate_graph(content: bytes, rng: Random) -> bytes:
    """Return an ONNX file in which a tensor, a node, an input or an output is another."""
    if rng.random() < 0.4:
        return mutate_bytes(content, rng)
    import onnx

    model = onnx.ModelProto.FromString(content)
    rng.choice(_GRAPH_CHANGES)(model, rng)
    return bytes(model.SerializeToString())


def _outside(model: Any, rng: Random) -> None:
    tensor = rng.choice(model.graph.initializer)
    tensor.ClearField("raw_data")
    tensor.data_location = rng.choice((0, 1))
    locations = ("../secret", "/etc/hostname", "edgedraft.json", "model.onnx", "", ".", "*/_ORT_MEM_ADDR_/*", "a" * 300)
    tensor.external_data.add(key="location", value=rng.choice(locations))


def _other_shape(model: Any, rng: Random) -> None:
    tensor = rng.choice(model.graph.initializer)
    tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice((0, -1, 1, 2**31, 2**40, 2**62))


def _other_axis(model: Any, rng: Random) -> None:
    value = rng.choice([*model.graph.input, *model.graph.output])
    axes = value.type.tensor_type.shape.dim
    if axes:
        rng.choice(axes).dim_value = rng.choice((0, 1, 2, -1, 2**20, 2**40, 2**62))


def _other_node(model: Any, rng: Random) -> None:
    node = rng.choice(model.graph.node)
    match rng.choice(("op", "domain", "input", "remove", "file")):
        case "op":
            node.op_type = rng.choice(("Nope", "Identity", "Gather", "Loop", "If", "ConstantOfShape", "Range"))
        case "domain":
            node.domain = rng.choice(("strangers", "com.microsoft", "ai.onnx.ml"))
        case "input":
            node.input[rng.randrange(len(node.input))] = rng.choice(("", "nothing", "logits", "input_ids"))
        case "remove":
            model.graph.node.remove(node)
        case "file":
            node.op_type, node.domain = "EPContext", "com.microsoft"


def _other_type(model: Any, rng: Random) -> None:
    rng.choice(model.graph.initializer).data_type = rng.choice((0, 2, 3, 6, 7, 8, 9, 10, 16, 99))


def _other_name(model: Any, rng: Random) -> None:
    value = rng.choice([*model.graph.input, *model.graph.output, *model.graph.initializer])
    value.name = rng.choice(("", "logits", "input_ids", "past_key_values.0.key", "x" * 1000, "\x1b[2J"))


_GRAPH_CHANGES: tuple[Callable[[Any, Random], None], ...] = (
    *(_outside, _other_shape, _other_axis, _other_node, _other_type, _other_name),
)
