"""The inputs and outputs of recurrent layers: states that a pass replaces, whatever the length of the text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import require

CHECKPOINT_ROWS = "checkpoint_rows"
"""The input, int64 (1,), that says after how many tokens of a pass the checkpoint outputs are taken; 0 by default."""

MOST_STATE_BYTES = 2**32
"""Bytes of one copy of all states; a text keeps several copies. Qwen 3.5 has 19 MB at 0.8B, 150 MB at 27B."""

_EXPORT_AGAIN = "export the model again with edgedraft"
_MOST_AXES, _SHOWN = 8, 80
_STATE_TYPES: dict[str, npt.DTypeLike] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_KINDS = "conv|recurrent"
# Layer first: past.0.conv (onnxruntime-genai). Kind first: past_conv.0 (transformers.js). Outputs say "present".
_LAYER_FIRST = re.compile(rf"(?P<when>past|present|checkpoint)\.(?P<layer>\d+)\.(?P<kind>{_KINDS})")
_KIND_FIRST = re.compile(rf"(?P<when>past|present)_(?P<kind>{_KINDS})\.(?P<layer>\d+)")


class _StateValue(Protocol):
    """An input or output as ONNX Runtime declares it."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> list[int | str | None]: ...
    @property
    def type(self) -> str: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class StateInput:
    """One recurrent state as the graph declares it: input ``name``, output ``present``, shape (batch 1) and type.

    ``checkpoint`` is the output of the state after some of a pass's tokens, None where the graph gives none.
    """

    name: str
    present: str
    checkpoint: str | None
    shape: tuple[int, ...]
    dtype: npt.DTypeLike

    @property
    def nbytes(self) -> int:
        """Return the bytes of one copy."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize


def state_slot(name: str) -> tuple[int, str] | None:
    """Return the layer and the kind of state that an input or output stands for; None if for no state."""
    match = _LAYER_FIRST.fullmatch(name) or _KIND_FIRST.fullmatch(name)
    return None if match is None else (int(match["layer"]), match["kind"])


def read_states(
    path: Path, inputs: Sequence[_StateValue], outputs: Sequence[_StateValue]
) -> tuple[tuple[StateInput, ...], bool]:
    """Return the recurrent states of the graph in ``path``, and whether it also gives them at a checkpoint.

    Raises `EdgedraftError` naming the input that is not understood, and for states beyond `MOST_STATE_BYTES`.
    """
    named = [(node, slot) for node in outputs if (slot := state_slot(node.name)) is not None]
    checkpoints = {slot: node for node, slot in named if node.name.startswith("checkpoint")}
    presents = {slot: node for node, slot in named if not node.name.startswith("checkpoint")}
    pasts = [(node, slot) for node in inputs if (slot := state_slot(node.name)) is not None]
    _check_once(path, pasts)
    states = tuple(_state(path, node, presents.get(slot), checkpoints.get(slot)) for node, slot in pasts)
    total = sum(state.nbytes for state in states)
    rule = f"{path}: recurrent states must be {MOST_STATE_BYTES} bytes or less together"
    require(total <= MOST_STATE_BYTES, rule, got=total, remedy=_EXPORT_AGAIN)
    _check_rows(path, inputs)
    return states, bool(states) and all(state.checkpoint is not None for state in states)


def _check_once(path: Path, pasts: Sequence[tuple[_StateValue, tuple[int, str]]]) -> None:
    """Refuse two inputs for one layer's state: one output would be written for both."""
    seen: set[tuple[int, str]] = set()
    for node, slot in pasts:
        rule = f"{path}: input {node.name}: another input holds the same layer's state"
        require(slot not in seen, rule, remedy=_EXPORT_AGAIN)
        seen.add(slot)


def _check_rows(path: Path, inputs: Sequence[_StateValue]) -> None:
    """Check the input that says where checkpoints are taken; with a default value it is not among the inputs."""
    rows = next((node for node in inputs if node.name == CHECKPOINT_ROWS), None)
    if rows is not None:
        right = rows.type == "tensor(int64)" and rows.shape == [1]
        rule = f"{path}: input {CHECKPOINT_ROWS}: expected tensor(int64) [1]"
        require(right, rule, got=f"{rows.type} {rows.shape}"[:_SHOWN], remedy=_EXPORT_AGAIN)


def _state(path: Path, past: _StateValue, present: _StateValue | None, checkpoint: _StateValue | None) -> StateInput:
    rule, remedy = f"{path}: input {past.name}:", _EXPORT_AGAIN
    if present is None:
        raise EdgedraftError(f"{rule} no output holds what it becomes", remedy=remedy)
    require(past.type in _STATE_TYPES, f"{rule} expected {' or '.join(_STATE_TYPES)}", got=past.type, remedy=remedy)
    sizes = [size for size in past.shape[1:] if isinstance(size, int) and size > 0]
    fixed = 1 < len(past.shape) <= _MOST_AXES and len(sizes) == len(past.shape) - 1
    require(fixed, f"{rule} expected a batch axis and then fixed sizes", got=str(past.shape)[:_SHOWN], remedy=remedy)
    for output in filter(None, (present, checkpoint)):
        declared = [size for size in output.shape[1:] if isinstance(size, int)]
        alike = output.type == past.type and (len(declared) < len(sizes) or declared == sizes)
        rule = f"{path}: output {output.name}: expected the type and sizes of {past.name}"
        require(alike, rule, got=f"{output.type} {output.shape}"[:_SHOWN], remedy=remedy)
    return StateInput(
        name=past.name,
        present=present.name,
        checkpoint=None if checkpoint is None else checkpoint.name,
        shape=(1, *sizes),
        dtype=_STATE_TYPES[past.type],
    )
