"""Graphs of one GroupQueryAttention, and what they compute, pass by pass, over keys and values that are kept."""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper

from tests.runtime.native.graphs import open_graph

POSITIONS = 80


@dataclass(frozen=True, kw_only=True)
class Attention:
    """A node's sizes; ``pairs`` numbers of a head are rotated, none with 0."""

    heads: int = 6
    key_heads: int = 2
    width: int = 32
    pairs: int = 16
    packed: bool = True
    interleaved: bool = False
    scale: float = 0.0

    @property
    def numbers(self) -> int:
        """Numbers in a row of the packed input."""
        return (self.heads + 2 * self.key_heads) * self.width


def attention_graph(one: Attention, *, element=TensorProto.FLOAT, inputs=(), outputs=(), **attributes):
    """Return a serialized graph; ``inputs`` and ``outputs`` are added behind the usual ones."""
    value, size = helper.make_tensor_value_info, one.width
    names = ["query", "" if one.packed else "key", "" if one.packed else "value", "past_key", "past_value"]
    names += ["seqlens_k", "total_sequence_length", *(("cos_cache", "sin_cache") if one.pairs else ("", "")), *inputs]
    made = ["output", "present_key", "present_value", *outputs]
    rotary = {"do_rotary": int(one.pairs > 0), "rotary_interleaved": int(one.interleaved)}
    sizes = {"num_heads": one.heads, "kv_num_heads": one.key_heads, "scale": one.scale}
    node = helper.make_node("GroupQueryAttention", names, made, domain="com.microsoft", **sizes | rotary | attributes)
    rows = {"query": one.numbers if one.packed else one.heads * size}
    rows |= {} if one.packed else {"key": one.key_heads * size, "value": one.key_heads * size}
    kept = ["batch", one.key_heads, "past", size]
    given = [value(name, element, ["batch", "rows", width]) for name, width in rows.items()]
    given += [value(name, element, kept) for name in ("past_key", "past_value")]
    given += [value("seqlens_k", TensorProto.INT32, ["batch"]), value("total_sequence_length", TensorProto.INT32, [1])]
    given += [value(name, element, ["positions", "pairs"]) for name in ("cos_cache", "sin_cache") if one.pairs]
    given += [value(name, element, None) for name in inputs if name]
    shape = ["batch", one.key_heads, "present", size]
    found = [value("output", element, ["batch", "rows", one.heads * size])]
    found += [value(name, element, shape) for name in ("present_key", "present_value")]
    graph = helper.make_graph([node], "attention", given, found)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def feeds_of(one: Attention, rows, keys, values, lengths):
    """Return the inputs of a pass over ``rows`` (batch, rows, numbers), which make texts of ``lengths`` tokens."""
    angles = np.arange(POSITIONS)[:, None] / 100.0 ** (np.arange(one.pairs) / max(one.pairs, 1))
    query = {"query": rows}
    if not one.packed:
        ends = [one.heads * one.width, (one.heads + one.key_heads) * one.width]
        query = dict(zip(("query", "key", "value"), np.split(rows, ends, axis=-1), strict=True))
    factors = {"cos_cache": np.cos(angles), "sin_cache": np.sin(angles)} if one.pairs else {}
    floats = {**query, "past_key": keys, "past_value": values, **factors}
    return {name: np.ascontiguousarray(array, np.float32) for name, array in floats.items()} | {
        "seqlens_k": np.asarray(lengths, np.int32) - 1,
        "total_sequence_length": np.asarray([max(lengths)], np.int32),
    }


def read_text(one: Attention, text, sizes, library=None):
    """Return the outputs for ``text`` (batch, tokens, numbers), read in pieces of those sizes, and the last keys."""
    session = open_graph(attention_graph(one), library)
    batch, tokens, _ = text.shape
    keys = values = np.zeros((batch, one.key_heads, 0, one.width), np.float32)
    found, done, turn = [], 0, 0
    while done < tokens:
        rows = text[:, done : done + sizes[turn % len(sizes)]]
        done, turn = done + rows.shape[1], turn + 1
        output, keys, values = session.run(None, feeds_of(one, rows, keys, values, [done] * batch))
        found.append(output)
    return np.concatenate(found, axis=1), keys, values


def text_of(one: Attention, batch=1, tokens=37, seed=1):
    """Return random rows (batch, tokens, numbers)."""
    return np.random.default_rng(seed).standard_normal((batch, tokens, one.numbers)).astype(np.float32)
