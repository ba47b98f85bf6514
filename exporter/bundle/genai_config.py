"""genai_config.json for a bundle: stock onnxruntime-genai runs the target with the expanded drafter."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FEWEST_DRAFTS, MOST_DRAFTS = 2, 16
"""Limits of the drafts in a round: with fewer, onnxruntime-genai gains nothing, and no round of more can pay.

With a single draft (0.18) it does not verify the draft together with the token before it, but reads both in passes of
their own: two target passes for at most two tokens.
"""

SESSION_OPTIONS = {"session.force_spinning_stop": "1"}
"""Each of the two sessions has threads of its own. Without this those of one keep spinning while the other runs, and
both are slowed down to about half where cores are few."""

_SHARE = "past_present_share_buffer"


@dataclass(frozen=True, kw_only=True, slots=True)
class GenaiPair:
    """Both models' own genai configurations, and where their graphs lie in the bundle."""

    target: Mapping[str, Any]
    target_graph: str
    drafter: Mapping[str, Any]
    drafter_graph: str


def genai_config(pair: GenaiPair, draft_length: int) -> dict[str, Any]:
    """Return the target's configuration with the drafter's decoder as ``model.draft``.

    onnxruntime-genai (0.18) then drafts ``speculative.max_draft_tokens`` tokens a round by itself: ``draft_length`` of
    them, as far as it can. Both graphs must have logits of one width, which is what the expanded layout is for. Whether
    past and present share one buffer is one setting for both, so they do where both graphs can.
    """
    config = copy.deepcopy(dict(pair.target))
    model = config["model"]
    model["decoder"] = _decoder(model["decoder"], pair.target_graph)
    model["draft"] = _decoder(pair.drafter["model"]["decoder"], pair.drafter_graph)
    search = [own.get("search", {}) for own in (pair.target, pair.drafter)]
    config["search"] = search[0] | {_SHARE: all(own.get(_SHARE, False) for own in search)}
    config["speculative"] = {"max_draft_tokens": min(max(draft_length, FEWEST_DRAFTS), MOST_DRAFTS)}
    return config


def _decoder(decoder: Mapping[str, Any], graph: str) -> dict[str, Any]:
    """Return a decoder's settings for ``graph``; session options of ours are added where it has none of that name."""
    options = SESSION_OPTIONS | decoder.get("session_options", {})
    return copy.deepcopy({**decoder, "filename": graph, "session_options": options})
