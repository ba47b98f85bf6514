"""genai_config.json for a bundle: stock onnxruntime-genai runs the target with the expanded drafter."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class GenaiPair:
    """Both models' own genai configurations, and where their graphs lie in the bundle."""

    target: Mapping[str, Any]
    target_graph: str
    drafter: Mapping[str, Any]
    drafter_graph: str


def genai_config(pair: GenaiPair, draft_length: int) -> dict[str, Any]:
    """The target's configuration with the drafter's decoder as ``model.draft``.

    onnxruntime-genai (0.18) then drafts ``speculative.max_draft_tokens`` tokens a round by itself. Both graphs must
    have logits of one width, which is what the expanded layout is for.
    """
    config = copy.deepcopy(dict(pair.target))
    model = config["model"]
    model["decoder"]["filename"] = pair.target_graph
    model["draft"] = copy.deepcopy(pair.drafter["model"]["decoder"])
    model["draft"]["filename"] = pair.drafter_graph
    config["speculative"] = {"max_draft_tokens": draft_length}
    return config
