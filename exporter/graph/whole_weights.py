"""Load a model through transformers, and refuse checkpoints whose missing weights would be initialized randomly.

Only the standard library is imported here, so that the worker in Optimum's own environment can run this file too.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# Parts of a checkpoint beside the decoder: what sees and hears, heads for training, layers that predict ahead.
_BESIDE = re.compile(
    r"vision|visual|image|audio|video|speech|talker|token2wav|multi_modal|mm_|embed_vision|embed_audio"
    r"|(^|\.)(mtp|mtp_layers|nextn|eagle|medusa|v_head|value_head|score|classifier|qa_outputs)(\.|$)|masked_bias$|inv_freq$|position_ids$"
)
_JOINS_AHEAD = re.compile(r"(?P<layer>.*\.layers\.\d+\.)eh_proj\.weight")
"""Marks a layer behind the decoder's own that predicts a token further, in checkpoints of DeepSeek's form."""
_SHOWN = 3


@contextlib.contextmanager
def whole_weights() -> Iterator[None]:
    """Make every ``from_pretrained`` in the block refuse a checkpoint that does not match its model.

    Raises `SystemExit` with a one-line text for tensors that are missing, have another shape, or belong to another
    architecture. Tied weights count once.
    """
    from transformers import PreTrainedModel

    base: Any = PreTrainedModel
    original = vars(base)["from_pretrained"]

    def checked(cls: Any, /, *places: Any, output_loading_info: bool = False, **settings: Any) -> Any:
        settings["ignore_mismatched_sizes"] = True  # they are refused below, in one line
        loaded, info = original.__func__(cls, *places, output_loading_info=True, **settings)
        fault = loading_fault(info)
        if fault is not None:
            raise SystemExit(fault)
        return (loaded, info) if output_loading_info else loaded

    base.from_pretrained = classmethod(checked)
    try:
        yield
    finally:
        base.from_pretrained = original


def loading_fault(info: Mapping[str, Any]) -> str | None:
    """Return what the loading info of ``from_pretrained`` says is wrong with a checkpoint; None if nothing is."""
    missing, unexpected = sorted(info["missing_keys"]), _unexpected(info["unexpected_keys"])
    shapes = sorted(str(name) for name, *_ in info["mismatched_keys"])
    if missing:
        return f"{_count(missing)} missing from the weights: {_some(missing)}"
    if shapes:
        return f"{_count(shapes)} of another shape than config.json says: {_some(shapes)}"
    if unexpected:
        return f"{_count(unexpected)} of another architecture than config.json says: {_some(unexpected)}"
    errors = [str(error).strip().splitlines()[0] for error in info.get("error_msgs") or () if str(error).strip()]
    return f"the weights cannot be loaded: {errors[0]}" if errors else None


def _unexpected(names: Iterable[str]) -> list[str]:
    """Return the unexpected tensors which mean that the decoder would compute something else."""
    every = sorted(names)
    ahead = tuple(match["layer"] for match in map(_JOINS_AHEAD.fullmatch, every) if match is not None)
    return [name for name in every if _BESIDE.search(name) is None and not name.startswith(ahead)]


def _count(names: list[str]) -> str:
    return f"{len(names)} tensor is" if len(names) == 1 else f"{len(names)} tensors are"


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
