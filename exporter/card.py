"""The bundle's README.md: a model card that says what it holds, where it came from and what was predicted."""

from collections.abc import Sequence

from edgedraft.exporter.quality import Divergence
from edgedraft.runtime.manifest import BundleManifest

_CARD = """---
license: {license}
base_model: [{target_base}, {drafter_base}]
library_name: edgedraft
tags: [speculative-decoding, onnx, edge]
---

# {target_name} with a trimmed {drafter_name} drafter

An edgedraft bundle: `target/` verifies what `drafter/` proposes. The drafter's LM head keeps {size:,} of
{vocab:,} tokens ({share:.1%}); `drafter/index_map.safetensors` maps its ids back. Output is the target's own.

| | target | drafter |
| --- | --- | --- |
| model | {target_name} | {drafter_name} |
| base model | {target_base} | {drafter_base} |
| licence | {target_license} | {drafter_license} |
| precision | {target_precision} | {drafter_precision} |
| stray from fp32 | {divergence} | not measured |
| weights a step reads | {target_megabytes:,.0f} MB | {drafter_megabytes:,.0f} MB |

The tokens were chosen by {ranked_by}; counted were {ranking_tokens:,} tokens of {ranking_prompts} prompts
({prompts}). On {scoring_prompts} other prompts they cover {coverage:.2%} of the target's tokens
(95 % interval {coverage_low:.2%} to {coverage_high:.2%}).

**Plan** for {device}: draft length {draft_length}. {reason}.

    edgedraft generate . "Write a function that reverses a linked list."
    edgedraft bench .
"""


def model_card(manifest: BundleManifest, divergence: Divergence | None = None) -> str:
    """Markdown with the front matter that model hubs read; ``divergence`` is the target's, where it was measured."""
    target, drafter, plan, calibration = manifest.target, manifest.drafter, manifest.plan, manifest.calibration
    return _CARD.format(
        license=target.license.lower(),
        target_name=target.name,
        target_base=target.base_model,
        target_license=target.license,
        target_precision=target.precision,
        divergence=_told(divergence),
        target_megabytes=target.weight_bytes / 1e6,
        drafter_name=drafter.name,
        drafter_base=drafter.base_model,
        drafter_license=drafter.license,
        drafter_precision=drafter.precision,
        drafter_megabytes=drafter.weight_bytes / 1e6,
        size=plan.draft_vocab_size,
        vocab=manifest.target_vocab_size,
        share=plan.draft_vocab_size / manifest.target_vocab_size,
        prompts=calibration.prompts,
        ranked_by=_sources(calibration.ranked_by),
        ranking_tokens=calibration.ranking_tokens,
        ranking_prompts=calibration.ranking_prompts,
        scoring_prompts=calibration.scoring_prompts,
        coverage=calibration.coverage,
        coverage_low=calibration.coverage_low,
        coverage_high=calibration.coverage_high,
        device=plan.device,
        draft_length=plan.draft_length,
        reason=plan.reason,
    )


def _sources(names: Sequence[str]) -> str:
    """What chose the tokens; counts after the first break the ties of those before them."""
    first, *others = names or ("generated text",)
    return f"{first} ({', then '.join(others)} where these are equal)" if others else first


def _told(divergence: Divergence | None) -> str:
    if divergence is None:
        return "not measured"
    same = f"the same choice at {divergence.greedy_agreement:.1%} of {divergence.positions} positions"
    return f"KL {divergence.kl_per_token:.4f} nats a token, {same}"
