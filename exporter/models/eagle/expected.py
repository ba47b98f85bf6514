"""List the tensors of a layout with their shapes; refuse missing, unknown and misshapen tensors by name."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from edgedraft.exporter.graph.eagle.checkpoint import EAGLE, EMBEDDING, HEAD, EagleLayout
from edgedraft.runtime.base.arrays import AnyArray
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import require

FUSING = "fc.weight"
FEATURE_NORM = "input_norm.weight"
"""A norm over a whole row of features; `tap_norm` names those over each tapped state."""

HEAD_NORMS = ("self_attn.q_norm.weight", "self_attn.k_norm.weight")
"""Norms over each head's queries and keys, as in Qwen 3."""

_SHOWN = 3
_Shape = tuple[int | None, ...]


def tap_norm(tap: int) -> str:
    """Return the name of the norm over one tapped state."""
    return f"fc_norm.{tap}.weight"


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorShapes:
    """Shapes by name, of required and of optional tensors; None stands for any size. ``kind`` names the drafter."""

    needed: Mapping[str, _Shape]
    optional: Mapping[str, _Shape]
    kind: str = "EAGLE"

    def check(self, weights: Mapping[str, AnyArray]) -> None:
        """Raise `EdgedraftError` unless ``weights`` holds every required tensor and no unknown one."""
        known, remedy = {**self.needed, **self.optional}, f"give an {self.kind} checkpoint as trained"
        _refuse("missing tensors", [name for name in self.needed if name not in weights], remedy)
        unknown = [name for name in weights if name not in known]
        _refuse(f"tensors that no known {self.kind} layer has", unknown, remedy)
        for name, array in weights.items():
            shape = known[name]
            fits = len(shape) == array.ndim and all(
                size in (None, found) for size, found in zip(shape, array.shape, strict=True)
            )
            require(fits, f"{name}: expected shape {_shown(shape)}", got=list(array.shape))
            require(array.dtype.kind == "f", f"{name}: expected floats", got=array.dtype)


def tensor_shapes(layout: EagleLayout, head_rows: int | None, more_norms: Collection[str]) -> TensorShapes:
    """Return the tensors of a layer of ``layout``.

    ``head_rows``: the number of rows of the checkpoint's own head, if it has one. ``more_norms``: those of a row of
    features, of tapped states and of heads that the layer has.
    """
    hidden, norm = layout.hidden, (layout.hidden,)
    read = hidden if layout.kind == EAGLE else 2 * hidden
    products: dict[str, tuple[int, int]] = {
        "self_attn.q_proj": (layout.heads * layout.head_size, read),
        "self_attn.k_proj": (layout.kv_heads * layout.head_size, read),
        "self_attn.v_proj": (layout.kv_heads * layout.head_size, read),
        "self_attn.o_proj": (hidden, layout.heads * layout.head_size),
        "mlp.gate_proj": (layout.intermediate, hidden),
        "mlp.up_proj": (layout.intermediate, hidden),
        "mlp.down_proj": (hidden, layout.intermediate),
        "fc": (hidden, layout.feature_width + (hidden if layout.kind == EAGLE else 0)),
    }
    norms = ["post_attention_layernorm.weight"]
    spare = {"norm.weight": norm} if layout.kind != EAGLE and not layout.head_normed else {}
    if layout.kind != EAGLE:
        norms += ["input_layernorm.weight", "hidden_norm.weight"]
    if layout.head_normed or layout.feeds_back_normed:
        norms.append("norm.weight")
    needed = {f"{name}.weight": shape for name, shape in products.items()} | dict.fromkeys(norms, norm)
    widths = {FEATURE_NORM: (layout.feature_width,)} | {
        tap_norm(tap): (layout.target_hidden,) for tap in range(layout.taps)
    }
    widths |= dict.fromkeys(HEAD_NORMS, (layout.head_size,))
    biases: dict[str, _Shape] = {f"{name}.bias": shape[:1] for name, shape in products.items()}
    ends: dict[str, _Shape] = {HEAD: (head_rows, hidden), EMBEDDING: (layout.vocab_size, hidden)}
    return TensorShapes(needed=needed | {name: widths[name] for name in more_norms}, optional=spare | biases | ends)


def _refuse(rule: str, names: list[str], remedy: str) -> None:
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise EdgedraftError(rule, got=", ".join(names[:_SHOWN]) + more, remedy=remedy)


def _shown(shape: _Shape) -> list[object]:
    return ["any" if size is None else size for size in shape]
