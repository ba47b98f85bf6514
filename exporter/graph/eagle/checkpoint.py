"""EagleCheckpoint: a drafter of one decoder layer on the target's states, as read from any trainer's files."""

from collections.abc import Mapping
from dataclasses import dataclass

from edgedraft.runtime.base.arrays import Float32Array, Float64Array, Ids

EAGLE, EAGLE3 = "eagle", "eagle3"

HEAD, EMBEDDING = "lm_head.weight", "embed_tokens.weight"


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetShape:
    """What a drafter must fit: the width of the target's states, its layers, and the tokens that it scores."""

    hidden: int
    layers: int
    vocab_size: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EagleLayout:
    """The sizes and rules of an EAGLE layer.

    ``kind`` is `EAGLE3` (a product fuses the target's states that enter ``tapped_layers`` to ``hidden`` numbers) or
    `EAGLE` (EAGLE-1 and 2: each step joins the token with the state behind the target's final norm; no layer is
    tapped). ``tapped_layers`` is None where the checkpoint leaves them to the target's depth. ``rotary_speeds``:
    radians a position, (head_size / 2,).

    ``residual_normed``: the layer adds to the normalised state instead of the state itself. ``head_normed``: the head
    reads the layer's output through a last norm. ``feeds_back_normed``: so does the next draft step.
    """

    kind: str
    hidden: int
    target_hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_size: int
    vocab_size: int
    context_length: int
    epsilon: float
    rotary_speeds: Float64Array
    tapped_layers: tuple[int, ...] | None
    residual_normed: bool
    head_normed: bool
    feeds_back_normed: bool

    @property
    def taps(self) -> int:
        """Return how many of the target's states make one row of features."""
        return 1 if self.kind == EAGLE else len(self.tapped_layers or _DEFAULT_TAPS)

    @property
    def feature_width(self) -> int:
        """Return the width of a row of features."""
        return self.taps * self.target_hidden


_DEFAULT_TAPS = ("low", "middle", "high")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EagleCheckpoint:
    """A drafter's layout and weights.

    ``weights``: float32 by the names in the layer (``self_attn.q_proj.weight``), its table and head only where they are
    its own. ``target_ids``: the target's tokens that the rows of the head score, ascending; None for all of them.
    ``convention``: what the checkpoint's map holds, ids or offsets; None without a map.
    """

    name: str
    layout: EagleLayout
    weights: Mapping[str, Float32Array]
    target_ids: Ids | None = None
    convention: str | None = None

    @property
    def own_head(self) -> bool:
        """Return whether the checkpoint has a head; else it borrows the target's."""
        return HEAD in self.weights

    @property
    def own_embedding(self) -> bool:
        """Return whether the checkpoint has a token table; else it borrows the target's."""
        return EMBEDDING in self.weights

    @property
    def draft_vocab_size(self) -> int:
        """Return how many tokens the checkpoint can draft."""
        return self.layout.vocab_size if self.target_ids is None else len(self.target_ids)
