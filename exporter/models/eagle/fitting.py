"""Check that the checkpoint of a layer fits its target, and describe what was read."""

from collections.abc import Sequence
from dataclasses import replace

from edgedraft.exporter.graph.eagle.checkpoint import EAGLE3, MTP, EagleCheckpoint, EagleLayout, TargetShape
from edgedraft.runtime.base.records import require

_ANOTHER = "choose the target that it was trained for"


def default_taps(layers: int) -> tuple[int, ...]:
    """Return the layers whose inputs are tapped in a target of ``layers`` layers unless a checkpoint names others."""
    return 2, layers // 2, layers - 3


def require_inside(taps: Sequence[int], layers: int, what: str, remedy: str) -> None:
    """Refuse tapped layers that a target of ``layers`` layers does not have; ``what`` names them in the error."""
    outside = [tap for tap in taps if not 0 <= tap < layers]
    require(not outside, f"{what} must lie in 0..{layers - 1}", got=", ".join(map(str, taps)), remedy=remedy)


def fitted(checkpoint: EagleCheckpoint, target: TargetShape) -> EagleCheckpoint:
    """Return the checkpoint with its tapped layers set for ``target``; refuse one that was made for another.

    The default of EAGLE-3 is the states that enter layer 2, the middle layer and the third-last layer.
    """
    layout, what = checkpoint.layout, f"drafter {checkpoint.name}: made for a target with"
    require(
        layout.target_hidden == target.hidden,
        f"{what} states of {layout.target_hidden}",
        got=target.hidden,
        remedy=_ANOTHER,
    )
    require(
        layout.vocab_size == target.vocab_size,
        f"{what} {layout.vocab_size} tokens",
        got=target.vocab_size,
        remedy=_ANOTHER,
    )
    borrows = not (checkpoint.own_head and checkpoint.own_embedding)
    rule = f"drafter {checkpoint.name}: a table or head of the target needs a drafter as wide, {target.hidden}"
    require(not borrows or layout.hidden == target.hidden, rule, got=layout.hidden)
    taps = layout.tapped_layers if layout.tapped_layers is not None else default_taps(target.layers)
    last = target.layers + (layout.kind == MTP)  # an MTP head may read the state that leaves the last layer
    require_inside(taps, last, f"drafter {checkpoint.name}: tapped layers", _ANOTHER)
    return replace(checkpoint, layout=replace(layout, tapped_layers=taps))


def description(checkpoint: EagleCheckpoint) -> str:
    """Describe the states that the checkpoint reads, its head, its token embedding, and how its map was read."""
    layout = checkpoint.layout
    states = _states_read(layout)
    head = "its own head" if checkpoint.own_head else "the target's head"
    table = "its own table" if checkpoint.own_embedding else "the target's table"
    map_ = "" if checkpoint.convention is None else f" ({checkpoint.convention} map)"
    tokens = f"{checkpoint.draft_vocab_size} of {layout.vocab_size} tokens{map_}"
    return f"{layout.kind} drafter {checkpoint.name}: reads {states}; {head} for {tokens}; {table}"


def _states_read(layout: EagleLayout) -> str:
    if layout.kind != EAGLE3:
        return f"the state {'before' if layout.tapped_layers else 'behind'} the final norm"
    taps = "two behind the start, half way and three before the end"
    if layout.tapped_layers is not None:
        taps = ", ".join(map(str, layout.tapped_layers))
    return f"the states that enter layers {taps}"
