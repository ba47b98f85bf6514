"""A Llama of any size with random int4 weights, written as the product's own conversions are, without a checkpoint."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graph.eagle.building import GraphBuilder
from edgedraft.exporter.graph.loading import MICROSOFT, save_graph
from edgedraft.runtime.onnx.signature import IDS, LOGITS, MASK

EPSILON, BLOCK, CONTEXT = 1e-5, 128, 4096
_INT64, _INT32, _FLOAT = ir.DataType.INT64, ir.DataType.INT32, ir.DataType.FLOAT
_ROWS = ("batch_size", "sequence_length")


@dataclass(frozen=True, kw_only=True)
class LlamaShape:
    """The sizes of a Llama whose head is its token table."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    vocab_size: int


class PackedBuilder(GraphBuilder):
    """Appends products with random packed weights: attention's in 8 bits, the others in 4, as in `int4`."""

    def __init__(self) -> None:
        super().__init__(EPSILON)
        self._rng = np.random.default_rng(0)

    def packed(self, bits: int, shape: tuple[int, int]) -> list[np.ndarray]:
        """Return codes, scales and, for 4 bits, zero points of a matrix (out, in)."""
        rows, columns = shape
        blocks = columns // BLOCK
        codes = self._rng.integers(0, 256, (rows, blocks, BLOCK * bits // 8), dtype=np.uint8)
        scales = np.full((rows, blocks), np.sqrt(12 / columns) / 2**bits, dtype=np.float32)
        zeros = np.full((rows, -(-blocks // 2)), 0x88, dtype=np.uint8)
        return [codes, scales, zeros][: 3 if bits == 4 else 2]

    def constants(self, name: str, arrays: list[np.ndarray]) -> list[ir.Value]:
        """Add the parts of a packed matrix."""
        parts = ("values", "scales", "zero_points")
        return [self.constant(f"{name}.{part}", array) for part, array in zip(parts, arrays, strict=False)]

    def multiplied(self, rows: ir.Value, path: str, shape: tuple[int, int], weights: list[ir.Value]) -> ir.Value:
        """Append a block-wise product."""
        bits = 4 if len(weights) == 3 else 8
        numbers = {"K": shape[1], "N": shape[0], "bits": bits, "block_size": BLOCK, "accuracy_level": 4}
        return self.own("MatMulNBits", [rows, *weights], path, **numbers)

    def random_product(self, rows: ir.Value, name: str, shape: tuple[int, int], bits: int = 4) -> ir.Value:
        """Append a product with weights of its own."""
        path = "/" + name.replace(".", "/") + "/MatMul"
        return self.multiplied(rows, path, shape, self.constants(f"{name}.MatMul.weight", self.packed(bits, shape)))

    def own(self, kind: str, inputs: list[ir.Value], path: str, **attributes: int) -> ir.Value:
        """Append a node of onnxruntime's own operators."""
        made = ir.node(kind, inputs, attributes, domain=MICROSOFT, name=path)
        made.outputs[0].name = f"{path}/output_0"
        self._graph.append(made)
        return made.outputs[0]


def llama(shape: LlamaShape) -> ir.Model:
    """Return the graph: token ids, mask, past keys and values to logits of every row and present keys and values."""
    graph = PackedBuilder()
    ids, mask = graph.input(IDS, _INT64, _ROWS), graph.input(MASK, _INT64, ["batch_size", "total_sequence_length"])
    table = graph.packed(4, (shape.vocab_size, shape.hidden))
    codes, scales, zeros = graph.constants(
        "model.embed_tokens.weight", [table[0].reshape(len(table[0]), -1), *table[1:]]
    )
    layout = {"bits": 4, "block_size": BLOCK, "gather_axis": 0, "quantize_axis": 1}
    state = graph.own("GatherBlockQuantized", [codes, ids, scales, zeros], "/model/embed_tokens/Gather", **layout)
    state.dtype = _FLOAT
    ends, turns = _lengths(graph, mask), _turns(graph, shape)
    ones, added = np.ones(shape.hidden, dtype=np.float32), None
    for layer in range(shape.layers):
        name = f"model.layers.{layer}"
        if added is None:
            normed = graph.norm(state, f"{name}.input_layernorm", ones)
        else:
            state, normed = graph.sum_and_norm(state, added, f"{name}.input_layernorm", ones)
        mixed = _attention(graph, normed, layer, shape, [*ends, *turns])
        state, lifted = graph.sum_and_norm(state, mixed, f"{name}.post_attention_layernorm", ones)
        added = _feed_forward(graph, lifted, name, shape)
    assert added is not None
    _, final = graph.sum_and_norm(state, added, f"model.layers.{shape.layers}.final_norm_layernorm", ones)
    final.dtype = _FLOAT
    head = graph.constants("lm_head.MatMul.weight", table)
    logits = graph.multiplied(final, "/lm_head/MatMul", (shape.vocab_size, shape.hidden), head)
    graph.output(logits, LOGITS, [*_ROWS, shape.vocab_size])
    return graph.model()


def save(model: ir.Model, folder: Path) -> Path:
    """Write a graph to ``folder``; return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    save_graph(model, folder / "model.onnx", "model.onnx.data")
    return folder / "model.onnx"


def _attention(graph: PackedBuilder, rows: ir.Value, layer: int, shape: LlamaShape, rest: list[ir.Value]) -> ir.Value:
    name, width = f"model.layers.{layer}.attn", shape.heads * shape.head_size
    joined = (width + 2 * shape.kv_heads * shape.head_size, shape.hidden)
    query_key_value = graph.random_product(rows, f"{name}.qkv_proj", joined, 8)

    def held(length: str) -> list[int | str]:
        return ["batch_size", shape.kv_heads, f"{length}_sequence_length", shape.head_size]

    pasts = [graph.input(f"past_key_values.{layer}.{part}", _FLOAT, held("past")) for part in ("key", "value")]
    mixed, *presents = graph.nodes(
        "GroupQueryAttention",
        [query_key_value, None, None, *pasts, *rest],
        f"/model/layers.{layer}/attn/GroupQueryAttention",
        outputs=(0, 1, 2),
        num_heads=shape.heads,
        kv_num_heads=shape.kv_heads,
        scale=shape.head_size**-0.5,
        do_rotary=1,
        rotary_interleaved=0,
    )
    for part, present in zip(("key", "value"), presents, strict=True):
        graph.output(present, f"present.{layer}.{part}", held("total"))
    return graph.random_product(mixed, f"{name}.o_proj", (shape.hidden, width), 8)


def _feed_forward(graph: PackedBuilder, rows: ir.Value, name: str, shape: LlamaShape) -> ir.Value:
    wide = (shape.intermediate, shape.hidden)
    gate = graph.random_product(rows, f"{name}.mlp.gate_proj", wide)
    raised = graph.random_product(rows, f"{name}.mlp.up_proj", wide)
    path = "/" + name.replace(".", "/", 1) + "/mlp"
    open_ = graph.node("Sigmoid", [gate], f"{path}/act_fn/Sigmoid")
    lit = graph.node("Mul", [gate, open_], f"{path}/act_fn/Mul")
    both = graph.node("Mul", [lit, raised], f"{path}/Mul")
    return graph.random_product(both, f"{name}.mlp.down_proj", (shape.hidden, shape.intermediate))


def _lengths(graph: PackedBuilder, mask: ir.Value) -> list[ir.Value]:
    where = "/model/attn_mask_reformat"
    held = graph.node("ReduceSum", [mask, graph.constant("one", np.array([1]))], f"{where}/ReduceSum", keepdims=0)
    last = graph.node("Sub", [held, graph.constant("one_less", np.array([1]))], f"{where}/Sub")
    sizes = graph.node("Shape", [mask], f"{where}/Shape")
    total = graph.node("Gather", [sizes, graph.constant("length_axis", np.array(1))], f"{where}/Gather", axis=0)
    return [graph.node("Cast", [each], f"{each.name}/Cast", to=int(_INT32)) for each in (last, total)]


def _turns(graph: PackedBuilder, shape: LlamaShape) -> list[ir.Value]:
    speeds = 5e5 ** (-np.arange(0, shape.head_size, 2) / shape.head_size)
    angles = np.arange(CONTEXT)[:, None] * speeds
    turned = {"cos_cache": np.cos(angles), "sin_cache": np.sin(angles)}
    return [graph.constant(name, array.astype(np.float32)) for name, array in turned.items()]
