"""Read an EAGLE checkpoint: its kind, layout, weights and token map, each checked once."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgedraft.exporter.graph.eagle.checkpoint import EAGLE, EAGLE3, EMBEDDING, HEAD, EagleCheckpoint, EagleLayout
from edgedraft.exporter.models.eagle.config_values import ConfigValues
from edgedraft.exporter.models.eagle.expected import FEATURE_NORM, HEAD_NORMS, tap_norm, tensor_shapes
from edgedraft.exporter.models.eagle.files import read_layer_tensors
from edgedraft.exporter.models.eagle.layout import kind_of, read_layout
from edgedraft.exporter.vocab.deciding import Numbers, as_ids, decide, marks, whole_numbers
from edgedraft.exporter.vocab.kinds import EAGLE3 as EAGLE3_FILE
from edgedraft.runtime.base.arrays import AnyArray, Ids
from edgedraft.runtime.base.errors import naming
from edgedraft.runtime.base.records import require

CONFIG = "config.json"
D2T, T2D = "d2t", "t2d"

_DRAFT_SIZE = "draft_vocab_size"
_NO_MAP = "a missing map is never taken as ids 0..K-1"


def read_eagle(folder: Path, convention: str | None = None) -> EagleCheckpoint:
    """Read the checkpoint in ``folder``, in the format of any supported trainer.

    ``convention`` says what a map holds ("absolute" or "offset") if its numbers could be either. Raises
    `EdgedraftError` naming the file and the key or tensor that is missing, unknown or misshapen.
    """
    config, tensors = ConfigValues(folder / CONFIG), read_layer_tensors(folder)
    weights = {name: array for name, array in tensors.items() if name not in (D2T, T2D)}
    with naming(folder):
        layout = read_layout(config, kind_of(set(weights)))
        tied = layout.kind == EAGLE3 and EMBEDDING in weights and config.flag("tie_word_embeddings", False)
        if tied and HEAD not in weights:
            weights[HEAD] = weights[EMBEDDING]
        size = config.size(_DRAFT_SIZE) if config.value(_DRAFT_SIZE) is not None else None
        by_head = HEAD_NORMS if any(name in weights for name in HEAD_NORMS) else ()
        tensor_shapes(layout, size, [*_feature_norms(config, layout, weights), *by_head]).check(weights)
        rows = len(weights[HEAD]) if HEAD in weights else size
        ids, found = _target_ids(tensors, layout.vocab_size, rows, convention)
    if ids is not None and HEAD in weights:
        weights[HEAD] = weights[HEAD][np.argsort(ids)]
    ids = None if ids is None else np.sort(ids)
    return EagleCheckpoint(name=folder.resolve().name, layout=layout, weights=weights, target_ids=ids, convention=found)


def _feature_norms(config: ConfigValues, layout: EagleLayout, weights: Mapping[str, AnyArray]) -> list[str]:
    """Return the norms before the fusing product: those that the configuration names, else those that exist."""
    if layout.kind == EAGLE:
        return []
    by_tap = [tap_norm(tap) for tap in range(layout.taps)]
    whole = config.flag("norm_before_fc", FEATURE_NORM in weights)
    each = config.flag("fc_norm", by_tap[0] in weights)
    return [FEATURE_NORM] * whole + by_tap * each


def _target_ids(
    tensors: Mapping[str, AnyArray], vocab_size: int, rows: int | None, convention: str | None
) -> tuple[Ids | None, str | None]:
    """Return the target's token of each row of the head, and how the map was read; None for all tokens.

    A map beside a head with the whole vocabulary is an unused buffer.
    """
    if rows == vocab_size or (rows is None and D2T not in tensors):
        return None, None
    require(D2T in tensors, f"missing tensor {D2T} for a head of {rows} of {vocab_size} tokens", remedy=_NO_MAP)
    values = whole_numbers(tensors[D2T], D2T)
    require(rows in (None, len(values)), f"{D2T}: expected one number for each of {rows} rows", got=len(values))
    kept = marks(tensors[T2D], T2D) if T2D in tensors else None
    require(
        kept is None or len(kept) == vocab_size,
        f"{T2D}: expected {vocab_size} marks",
        got=kept.size if kept is not None else None,
    )
    numbers = Numbers(kinds=(EAGLE3_FILE,), values=values, kept=kept, vocab_size=vocab_size)
    found = decide(numbers, convention)
    ids = as_ids(values, found)
    require(len(np.unique(ids)) == len(ids), f"{D2T}: expected every token once", got="a repeat")
    return ids, found
