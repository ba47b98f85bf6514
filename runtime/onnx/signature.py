"""Signature: the inputs and outputs of a decoder graph, read from the graph itself, never from a configuration."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.graph_file import input_readers
from edgedraft.runtime.base.records import require
from edgedraft.runtime.onnx.state_inputs import CHECKPOINT_ROWS, StateInput, read_states

IDS, MASK, POSITIONS, CACHE_POSITION = "input_ids", "attention_mask", "position_ids", "cache_position"
LOGITS = "logits"
FEATURES = "features"
"""The output of a target that a drafter reads, (batch, tokens, width)."""
STATES, NEXT_STATES = "hidden_states", "next_hidden_states"
"""What a drafter's layer reads beside the tokens, and what its next step reads; (batch, tokens, hidden) both."""
BIAS, SCORED = "attention_bias", "scored_rows"
"""What a layer's graph for traces reads too: which rows each row attends to, and which rows its head scores."""

ROPE_SWITCH = "edgedraft.rope_switch"
"""Key of a graph's metadata: the longest text that it rotates by its first factors; longer texts take others."""

FEEDS = frozenset((IDS, MASK, POSITIONS, CACHE_POSITION))
"""The inputs, beside keys and values, that a decoder may have."""

FLOATS: dict[str, npt.DTypeLike] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
"""The types that keys, values and the inputs of plain graphs may have."""

IN_PLACE = frozenset(("GroupQueryAttention",))
"""Operators that write keys and values into the buffer that they read them from."""

# Layer first: past_key_values.0.key, past.0.key, past_0_key. Kind first: past_key_0, past_key_values.key.0.
# Outputs are called "present" where inputs are called "past".
_LAYER_FIRST = re.compile(r"(?:past|present)(?:_key_values)?[._](?P<layer>\d+)[._](?P<kind>key|value)")
_KIND_FIRST = re.compile(r"(?:past|present)(?:_key_values)?[._](?P<kind>key|value)[._](?P<layer>\d+)")

_EXPORT_AGAIN = "export the model again with edgedraft"
_REFUSED = (
    (r".*\.(?:de|en)coder\..*|encoder_.*|decoder_.*", "encoder-decoder models are not read", "choose a decoder alone"),
    ("use_cache_branch", "graphs of two merged branches are not read", "export one graph with past, without merging"),
    (r"past_\d+", "keys and values in one tensor are not read", _EXPORT_AGAIN),
    ("inputs_embeds", "graphs without their embedding are not read", _EXPORT_AGAIN),
)


class GraphValue(Protocol):
    """An input or output as ONNX Runtime declares it; an axis is a number, a symbol, or None where it has no name."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def shape(self) -> list[int | str | None]:
        """Its axes."""
        ...

    @property
    def type(self) -> str:
        """Its element type, such as ``tensor(float)``."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheInput:
    """One layer's keys or values as the graph declares them: input ``name``, output ``present``, axes and type."""

    name: str
    present: str
    heads: int
    width: int
    dtype: npt.DTypeLike


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """The inputs and outputs of a decoder graph.

    ``feeds`` are its inputs beside the past: `input_ids`, and perhaps `attention_mask`, `position_ids` and
    `cache_position`. ``shared``: past and present are one buffer, written in place; otherwise the present is a copy of
    the past with the new tokens appended. ``rows``: the batch axis, a number or a symbol. ``feature_width``: that of
    the states it gives for a drafter, 0 where it gives none. ``states`` are those of recurrent layers, and
    ``checkpoints`` tells whether the graph also gives them after some of a pass's tokens. ``position_planes`` is the
    first axis of three-axis `position_ids`, 0 where they have two.
    """

    feeds: frozenset[str]
    caches: tuple[CacheInput, ...]
    vocab_size: int
    shared: bool
    rows: int | str | None
    feature_width: int = 0
    states: tuple[StateInput, ...] = ()
    checkpoints: bool = False
    position_planes: int = 0


def read_signature(
    path: Path, inputs: Sequence[GraphValue], outputs: Sequence[GraphValue], *, layer: bool = False
) -> Signature:
    """Check the inputs and outputs of the graph in ``path`` and return its signature.

    A ``layer`` of a drafter reads `STATES` beside its feeds, and gives `NEXT_STATES` as its features; its head may
    score the last token alone. Raises `EdgedraftError` naming the input or output that is not understood.
    """
    pasts = {node.name: slot for node in inputs if (slot := cache_slot(node.name)) is not None}
    presents = {slot: node for node in outputs if (slot := cache_slot(node.name)) is not None}
    states, checkpoints = read_states(path, inputs, outputs)
    own = {*pasts, *(state.name for state in states), CHECKPOINT_ROWS}
    feeds = {node.name: node for node in inputs if node.name not in own}
    if layer:
        _states_width(path, feeds.pop(STATES, None), STATES)
        feeds = {name: node for name, node in feeds.items() if name not in (BIAS, SCORED)}
    for node in feeds.values():
        _check_feed(path, node)
    require(IDS in feeds, f"{path}: no input named {IDS}", got=sorted(feeds)[:3])
    rule = f"{path}: no keys and values among the inputs"
    require(bool(pasts) or bool(states), rule, remedy="export a decoder with past")
    declared = [node for node in inputs if node.name in pasts]
    caches = tuple(_cache(path, node, presents.get(pasts[node.name])) for node in declared)
    return Signature(
        feeds=frozenset(feeds),
        caches=caches,
        vocab_size=_width(path, outputs, last_alone=layer),
        shared=_is_shared(path, declared, {cache.name: presents[pasts[cache.name]] for cache in caches}),
        rows=feeds[IDS].shape[0],
        feature_width=_feature_width(path, outputs, NEXT_STATES if layer else FEATURES, needed=layer),
        states=states,
        checkpoints=checkpoints,
        position_planes=_planes(feeds.get(POSITIONS)),
    )


def cache_slot(name: str) -> tuple[int, str] | None:
    """Return the layer, and ``key`` or ``value``, that an input or output stands for; None if for neither."""
    match = _LAYER_FIRST.fullmatch(name) or _KIND_FIRST.fullmatch(name)
    return None if match is None else (int(match["layer"]), match["kind"])


def _check_feed(path: Path, node: GraphValue) -> None:
    for pattern, reason, remedy in _REFUSED:
        require(re.fullmatch(pattern, node.name) is None, f"{path}: input {node.name}: {reason}", remedy=remedy)
    known = f"{', '.join(sorted(FEEDS))} and a key and a value for each layer"
    require(node.name in FEEDS, f"{path}: input {node.name}: not known; a decoder takes {known}", remedy=_EXPORT_AGAIN)
    ranks = 1 if node.name == CACHE_POSITION else 3 if _planes(node) else 2
    right = node.type == "tensor(int64)" and len(node.shape) == ranks
    rule = f"{path}: input {node.name}: expected tensor(int64) of {ranks} axes"
    require(right, rule, got=f"{node.type} of {len(node.shape)}", remedy=_EXPORT_AGAIN)
    fixed = isinstance(node.shape[-1], int)
    require(not fixed, f"{path}: input {node.name}: expected a symbolic number of tokens", got=node.shape)


def _planes(node: GraphValue | None) -> int:
    """Return how often a text's positions are fed: once for each axis that its rotary embedding tells apart.

    Qwen 3.5 has three such planes, (planes, batch, tokens), which are equal for text. 0 stands for (batch, tokens).
    """
    first = node.shape[0] if node is not None and node.name == POSITIONS and len(node.shape) == 3 else 0
    return first if isinstance(first, int) else 0


def _cache(path: Path, past: GraphValue, present: GraphValue | None) -> CacheInput:
    rule = f"{path}: input {past.name}:"
    if present is None:
        raise EdgedraftError(f"{rule} no output holds what it becomes", remedy=_EXPORT_AGAIN)
    axes = len(past.shape)
    require(axes == 4, f"{rule} expected (batch, heads, tokens, head size)", got=past.shape, remedy=_EXPORT_AGAIN)
    _, heads, tokens, width = past.shape
    if not isinstance(heads, int) or not isinstance(width, int):
        remedy = "export the model with edgedraft, which fixes them"
        raise EdgedraftError(f"{rule} expected fixed heads and head size", got=past.shape, remedy=remedy)
    require(not isinstance(tokens, int), f"{rule} expected a symbolic number of tokens", got=past.shape)
    require(past.type in FLOATS, f"{rule} expected {' or '.join(FLOATS)}", got=past.type, remedy=_EXPORT_AGAIN)
    same = len(present.shape) == axes and present.type == past.type
    expected = f"{rule} expected its output {present.name} of {axes} axes and {past.type}"
    require(same, expected, got=f"{present.type} {present.shape}", remedy=_EXPORT_AGAIN)
    return CacheInput(name=past.name, present=present.name, heads=heads, width=width, dtype=FLOATS[past.type])


def _width(path: Path, outputs: Collection[GraphValue], *, last_alone: bool) -> int:
    """Return the width of the logits: the size of the vocabulary. With ``last_alone`` one token may be scored."""
    by_name = {node.name: node for node in outputs}
    require(LOGITS in by_name, f"{path}: no output named {LOGITS}", got=sorted(by_name)[:3])
    logits = by_name[LOGITS]
    require(logits.type == "tensor(float)", f"{path}: {LOGITS}: expected tensor(float)", got=logits.type)
    every = len(logits.shape) == 3 and not isinstance(logits.shape[1], int)
    rule = f"{path}: {LOGITS}: expected scores of every token, (batch, tokens, vocabulary)"
    require(
        every or last_alone,
        rule,
        got=logits.shape,
        remedy="export the graph without pruning its head to the last token",
    )
    width = logits.shape[-1]
    if not isinstance(width, int):
        raise EdgedraftError(f"{path}: {LOGITS}: expected a fixed width", got=width)
    return width


def _feature_width(path: Path, outputs: Collection[GraphValue], name: str, *, needed: bool) -> int:
    found = next((node for node in outputs if node.name == name), None)
    return _states_width(path, found, name) if needed or found is not None else 0


def _states_width(path: Path, node: GraphValue | None, name: str) -> int:
    """Return the width of states by token, float32 (batch, tokens, width)."""
    width = node.shape[-1] if node is not None and len(node.shape) == 3 else None
    if node is None or node.type != "tensor(float)" or not isinstance(width, int):
        got = None if node is None else f"{node.type} {node.shape}"
        rule = f"{path}: {name}: expected tensor(float) (batch, tokens, width) of a fixed width"
        raise EdgedraftError(rule, got=got, remedy=_EXPORT_AGAIN)
    return width


def _is_shared(path: Path, pasts: Sequence[GraphValue], presents: Mapping[str, GraphValue]) -> bool:
    """Return whether every present may share its past's buffer.

    It may where it is declared to be as long as the past, or where only operators that write in place read the past.
    """
    # Axis 2 counts tokens. Equal symbols are the graph's promise; else the operators decide, and the file is read.
    unlike = [past.name for past in pasts if past.shape[2] is None or past.shape[2] != presents[past.name].shape[2]]
    readers = input_readers(path, unlike) if unlike else {}
    return all(readers[name] and readers[name] <= IN_PLACE for name in unlike)


def ones_for(declared: GraphValue) -> np.ndarray:
    """Return ones for an input, with size 1 along every axis that has no fixed size."""
    shape = [size if isinstance(size, int) else 1 for size in declared.shape]
    return np.ones(shape, dtype=FLOATS[declared.type])
