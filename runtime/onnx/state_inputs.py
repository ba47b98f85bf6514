"""The inputs and outputs of recurrent layers: states that a pass replaces, whatever the length of the text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import require

CHECKPOINT_ROWS = "checkpoint_rows"
"""The input, int64 (1,), that says after how many tokens of a pass the checkpoint outputs are taken; 0 by default."""

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


def state_slot(name: str) -> tuple[int, str] | None:
    """Return the layer and the kind of state that an input or output stands for; None if for no state."""
    match = _LAYER_FIRST.fullmatch(name) or _KIND_FIRST.fullmatch(name)
    return None if match is None else (int(match["layer"]), match["kind"])


def read_states(
    path: Path, inputs: Sequence[_StateValue], outputs: Sequence[_StateValue]
) -> tuple[tuple[StateInput, ...], bool]:
    """Return the recurrent states of the graph in ``path``, and whether it also gives them at a checkpoint.

    Raises `EdgedraftError` naming the input that is not understood.
    """
    named = [(node.name, slot) for node in outputs if (slot := state_slot(node.name)) is not None]
    checkpoints = {slot: name for name, slot in named if name.startswith("checkpoint")}
    presents = {slot: name for name, slot in named if slot not in checkpoints or checkpoints[slot] != name}
    pasts = [(node, slot) for node in inputs if (slot := state_slot(node.name)) is not None]
    states = tuple(_state(path, node, presents.get(slot), checkpoints.get(slot)) for node, slot in pasts)
    return states, bool(states) and all(state.checkpoint is not None for state in states)


def _state(path: Path, past: _StateValue, present: str | None, checkpoint: str | None) -> StateInput:
    rule, remedy = f"{path}: input {past.name}:", "export the model again with edgedraft"
    if present is None:
        raise EdgedraftError(f"{rule} no output holds what it becomes", remedy=remedy)
    require(past.type in _STATE_TYPES, f"{rule} expected {' or '.join(_STATE_TYPES)}", got=past.type, remedy=remedy)
    sizes = [size for size in past.shape[1:] if isinstance(size, int)]
    fixed = len(past.shape) > 1 and len(sizes) == len(past.shape) - 1
    require(fixed, f"{rule} expected a batch axis and then fixed sizes", got=past.shape, remedy=remedy)
    dtype = _STATE_TYPES[past.type]
    return StateInput(name=past.name, present=present, checkpoint=checkpoint, shape=(1, *sizes), dtype=dtype)
