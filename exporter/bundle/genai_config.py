"""genai_config.json for a bundle: stock onnxruntime-genai runs the target with the expanded drafter."""

import copy
from collections.abc import Mapping
from typing import Any

FEWEST_DRAFTS, MOST_DRAFTS = 2, 16
"""Limits of the drafts in a round: with fewer, onnxruntime-genai gains nothing, and no round of more can pay.

With a single draft (0.18) it does not verify the draft together with the token before it, but reads both in passes of
their own: two target passes for at most two tokens.
"""

SESSION_OPTIONS = {"session.force_spinning_stop": "1"}
"""Each of the two sessions has threads of its own. Without this those of one keep spinning while the other runs, and
both are slowed down to about half where cores are few."""

GENAI_NAME = "genai_config.json"

_SHARE = "past_present_share_buffer"


def genai_config(
    target: Mapping[str, Any], drafter: Mapping[str, Any], draft_length: int, *, target_graph: str, drafter_graph: str
) -> dict[str, Any]:
    """Return the configuration of ``target`` with the decoder of ``drafter`` as ``model.draft``.

    Both are configurations of their own; the graphs are where the bundle has them.

    onnxruntime-genai (0.18) then drafts ``speculative.max_draft_tokens`` tokens a round by itself: ``draft_length`` of
    them, as far as it can. Both graphs must have logits of one width, which is what the expanded layout is for. Whether
    past and present share one buffer is one setting for both, so they do where both graphs can.
    """
    config = copy.deepcopy(dict(target))
    model = config["model"]
    model["decoder"] = _decoder(model["decoder"], target_graph)
    model["draft"] = _decoder(drafter["model"]["decoder"], drafter_graph)
    search = [own.get("search", {}) for own in (target, drafter)]
    config["search"] = search[0] | {_SHARE: all(own.get(_SHARE, False) for own in search)}
    config["speculative"] = {"max_draft_tokens": min(max(draft_length, FEWEST_DRAFTS), MOST_DRAFTS)}
    return config


def target_config(target: Mapping[str, Any], *, target_graph: str) -> dict[str, Any]:
    """Return the configuration of the target alone, for a drafter that onnxruntime-genai cannot run.

    Its version 0.18 drafts with whole models, n-grams and MTP heads; it has no loop for EAGLE layers.
    """
    config = copy.deepcopy(dict(target))
    config["model"]["decoder"] = _decoder(config["model"]["decoder"], target_graph)
    return config


def _decoder(decoder: Mapping[str, Any], graph: str) -> dict[str, Any]:
    """Return a decoder's settings for ``graph``; session options of ours are added where it has none of that name."""
    options = SESSION_OPTIONS | decoder.get("session_options", {})
    return copy.deepcopy({**decoder, "filename": graph, "session_options": options})
