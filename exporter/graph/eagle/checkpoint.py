"""EagleCheckpoint: one decoder layer that drafts from the target's hidden states, as read from any trainer's files."""

from collections.abc import Mapping
from dataclasses import dataclass

from edgedraft.runtime.base.arrays import Float32Array, Float64Array, Ids
from edgedraft.runtime.bundle.manifest import EAGLE as EAGLE
from edgedraft.runtime.bundle.manifest import EAGLE3 as EAGLE3
from edgedraft.runtime.bundle.manifest import MTP as MTP

HEAD, EMBEDDING = "lm_head.weight", "embed_tokens.weight"


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetShape:
    """The sizes of a target that a drafter must fit: width of its states, number of layers, vocabulary size."""

    hidden: int
    layers: int
    vocab_size: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EagleLayout:
    """The sizes and rules of a layer on a target.

    ``kind`` is `EAGLE3`, `EAGLE` (EAGLE-1 and 2) or `MTP`. In EAGLE-3 a matrix product (``fc``) fuses the target's
    states that enter ``tapped_layers`` into ``hidden`` values. In EAGLE-1 and 2 each step joins the token with the
    state after the target's final norm, and no layer is tapped. An MTP head norms both first; it may read the state
    before the final norm, for which ``tapped_layers`` holds the number of layers. ``tapped_layers`` is None where the
    checkpoint does not name them; they then follow from the target's number of layers. ``rotary_speeds``: radians per
    position, (head_size / 2,), or fewer where the other values of a head are not rotated; ``rotary_scale``: the factor
    on their cosines and sines.

    ``residual_normed``: the residual connection starts from the normalised state instead of the state itself.
    ``head_normed``: the head reads the layer's output after a last norm. ``feeds_back_normed``: the next draft step
    reads it after that norm too. ``states_first``: an MTP head joins the state with the token, in this order.
    ``first_row_blank``: it reads zeros in place of the embedding in the first row of a text.
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
    rotary_scale: float = 1.0
    states_first: bool = False
    first_row_blank: bool = False

    @property
    def taps(self) -> int:
        """Return how many of the target's states make one row of features."""
        return 1 if self.kind != EAGLE3 else len(self.tapped_layers or _DEFAULT_TAPS)

    @property
    def feature_width(self) -> int:
        """Return the width of a row of features."""
        return self.taps * self.target_hidden


_DEFAULT_TAPS = ("low", "middle", "high")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EagleCheckpoint:
    """A drafter's layout and weights.

    ``weights``: float32, by their names in the layer (``self_attn.q_proj.weight``); without the token embedding and the
    head where those are the target's. ``target_ids``: the target's token for each row of the head, ascending; None for
    all tokens. ``convention``: whether the checkpoint's map held ids or offsets; None without a map.
    """

    name: str
    layout: EagleLayout
    weights: Mapping[str, Float32Array]
    target_ids: Ids | None = None
    convention: str | None = None

    @property
    def own_head(self) -> bool:
        """Return whether the checkpoint has a head; otherwise it uses the target's."""
        return HEAD in self.weights

    @property
    def own_embedding(self) -> bool:
        """Return whether the checkpoint has a token embedding; otherwise it uses the target's."""
        return EMBEDDING in self.weights

    @property
    def draft_vocab_size(self) -> int:
        """Return how many tokens the checkpoint can draft."""
        return self.layout.vocab_size if self.target_ids is None else len(self.target_ids)
