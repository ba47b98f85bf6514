"""genai_config.json for a bundle: stock onnxruntime-genai runs the target with the expanded drafter."""

from typing import Any


def genai_config(
    target: dict[str, Any], drafter: dict[str, Any], target_graph: str, drafter_graph: str, draft_length: int
) -> dict[str, Any]:
    """The target's config with the drafter's decoder beside it; graph paths are relative to the bundle."""
    raise NotImplementedError
