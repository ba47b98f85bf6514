"""Preparing a copied graph for a provider: exact products, and a token table that its kernel can read."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graph.blocks import pack, unpack
from edgedraft.exporter.graph.loading import add_constant, drop_unread
from edgedraft.exporter.graph.needs import has_odd_blocks
from edgedraft.exporter.graph.providers import CPU, Provider
from edgedraft.exporter.graph.token_table import can_spell_out, spell_out
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import require

_SMALLEST_BLOCK = 16


def prepare(model: ir.Model, provider: Provider) -> bool:
    """Change ``model``, in place, so that ``provider`` runs it well; return whether anything changed.

    A prepared model is left as it is. The weights keep every value. A model for WebGPU that runs better on WebAssembly
    gets a token table that both can read.
    """
    changed, nodes = False, list(model.graph.all_nodes())
    plain = provider.plain_tables or (provider.even_blocks and _better_on_wasm(nodes))
    for node in nodes:
        if node.op_type == "MatMulNBits" and provider.accuracy_level is not None:
            changed |= set_accuracy_level(node, provider.accuracy_level)
        elif node.op_type == "GatherBlockQuantized" and plain:
            changed |= _spelled_out(node, provider)
        elif node.op_type == "GatherBlockQuantized" and provider.even_blocks:
            changed |= even_blocks(node)
    return changed


def _spelled_out(gather: ir.Node, provider: Provider) -> bool:
    """Write the table's reader in plain operators; leave a form that cannot be where ``provider`` has a kernel."""
    if can_spell_out(gather):
        spell_out(gather)
        return True
    rule = f"node {gather.name}: {provider.name} reads packed tables of float scales with rows along the first axis"
    require(provider.name == CPU, rule, remedy="export for another provider, or with a float token table")
    return False


def _better_on_wasm(nodes: Sequence[ir.Node]) -> bool:
    """Check for products that WebGPU has no kernel for, so that a page runs this drafter on WebAssembly instead."""
    return any(node.op_type == "DynamicQuantizeMatMul" for node in nodes)


def set_accuracy_level(product: ir.Node, level: int) -> bool:
    """Set how precisely a MatMulNBits multiplies; return whether that changed anything."""
    known = product.attributes.get("accuracy_level")
    if known is not None and known.as_int() == level:
        return False
    product.attributes["accuracy_level"] = ir.AttrInt64("accuracy_level", level)
    return True


def even_blocks(gather: ir.Node) -> bool:
    """Halve the blocks of a 4-bit token table until a row has an even number; return whether that was needed.

    See `has_odd_blocks`. Both halves of a block get its scale and its zero point: every value stays the same.
    """
    if not has_odd_blocks(gather):
        return False
    data, scales, points = (_constant(gather, position) for position in (0, 2, 3))
    block = gather.attributes["block_size"].as_int()
    assert data is not None and scales is not None and points is not None and gather.graph is not None
    features, count = 2 * data.shape.numpy()[1], scales.shape.numpy()[1]
    numbers, codes = scales.numpy(), unpack(points.numpy(), 4)[:, :count]
    while numbers.shape[1] % 2:
        if block == _SMALLEST_BLOCK:
            rule = f"node {gather.name}: rows of {numbers.shape[1]} blocks of {block} cannot be cut to an even number"
            raise EdgedraftError(rule, remedy="export for another provider, or with a float token table")
        # Ceilings of odd counts: halving may leave an odd number again, as with 5 blocks cut to 9.
        block //= 2
        blocks = -(-features // block)
        numbers, codes = (np.repeat(each, 2, axis=1)[:, :blocks] for each in (numbers, codes))
    graph = gather.graph
    for position, array in ((2, numbers), (3, pack(codes, 4))):
        old = gather.inputs[position]
        assert old is not None
        gather.replace_input_with(position, add_constant(graph, f"{old.name}.even", array))
        drop_unread(graph, old)
    gather.attributes["block_size"] = ir.AttrInt64("block_size", block)
    return True


def _constant(node: ir.Node, position: int) -> ir.TensorProtocol | None:
    value = node.inputs[position] if position < len(node.inputs) else None
    return value.const_value if value is not None else None
