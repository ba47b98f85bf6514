"""Fit a drafter to its target if their logits are padded to different widths.

For one tokenizer, models of Qwen2.5 have 151,936 or 152,064 rows, and Gemma's have 262,144 or 262,208.
"""

import numpy as np
import onnx_ir as ir

from edgedraft.exporter.graph.head import expand_logits
from edgedraft.exporter.graph.loading import LOGITS, add_constant, output_named, vocabulary_width
from edgedraft.exporter.graph.packing import INPUT_IDS
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.index_map import IndexMap

_LIMIT = "fit/Min"


def first_ids(width: int, vocab_size: int) -> IndexMap:
    """Return the map of the ids that a model of ``width`` rows shares with a target of ``vocab_size`` tokens."""
    ids = np.arange(min(width, vocab_size), dtype=np.int64)
    return IndexMap(target_ids=ids, target_vocab_size=vocab_size)


def head_rows(kept: IndexMap, width: int) -> IndexMap:
    """Return the same tokens as a map for a head of ``width`` rows; refuse a token without a row in the head."""
    last, remedy = int(kept.target_ids[-1]), "choose a smaller draft vocabulary"
    require(last < width, f"index map: expected ids below the drafter's {width} rows", got=last, remedy=remedy)
    return IndexMap(target_ids=kept.target_ids, target_vocab_size=width)


def fit_drafter(model: ir.Model, vocab_size: int) -> None:
    """Make the logits of an untrimmed drafter ``vocab_size`` wide, in place, and its token ids readable.

    Rows beyond the target's vocabulary are cut off; tokens without a row get -inf, so neither can be drafted.
    """
    width = vocabulary_width(model)
    limit_token_ids(model, width, vocab_size)
    if width > vocab_size:
        _cut_logits(model, vocab_size)
    elif width < vocab_size:
        expand_logits(model, first_ids(width, vocab_size))


def limit_token_ids(model: ir.Model, width: int, vocab_size: int) -> None:
    """Make a model of ``width`` rows read its last row for every larger id of the target, in place.

    Only ids of padding and of placeholders for images are that large. Drafts that follow them are verified like any
    other.
    """
    if width >= vocab_size or any(node.name == _LIMIT for node in model.graph):
        return
    ids = next((value for value in model.graph.inputs if value.name == INPUT_IDS), None)
    if ids is None or ids.dtype is None:
        raise EdgedraftError(f"graph: expected an input {INPUT_IDS}", remedy="export a decoder")
    readers = list(ids.uses())
    last = add_constant(model.graph, "fit.last_id", np.array(width - 1, dtype=ids.dtype.numpy()))
    node = ir.node("Min", [ids, last], name=_LIMIT)
    node.outputs[0].dtype, node.outputs[0].shape = ids.dtype, ids.shape
    model.graph.insert_before(model.graph[0], node)
    for reader, position in readers:
        reader.replace_input_with(position, node.outputs[0])


def _cut_logits(model: ir.Model, width: int) -> None:
    """Keep the first ``width`` columns of the logits, in place."""
    whole = output_named(model, LOGITS)
    assert whole.shape is not None
    whole.name = f"{LOGITS}.whole"
    bounds = [
        add_constant(model.graph, f"fit.{name}", np.array([value], dtype=np.int64))
        for name, value in (("first", 0), ("last", width), ("axis", len(whole.shape) - 1))
    ]
    node = ir.node("Slice", [whole, *bounds], name="fit/Slice")
    cut = node.outputs[0]
    assert whole.dtype is not None
    cut.name, cut.dtype, cut.shape = LOGITS, whole.dtype, ir.Shape([*whole.shape.dims[:-1], width])
    model.graph.append(node)
    position = next(place for place, value in enumerate(model.graph.outputs) if value is whole)
    model.graph.outputs[position] = cut
