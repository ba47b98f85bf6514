"""The bundle's README.md: a model card with contents, origin, and measured or predicted speeds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgedraft.exporter.graph.providers import DRAFTER
from edgedraft.runtime.base.kernel_names import UNRECORDED, PairKernels
from edgedraft.runtime.base.tables import markdown_table
from edgedraft.runtime.bench import BenchReport, WayReport
from edgedraft.runtime.bundle.manifest import EAGLE3, HEAD, MTP, TABLE, BundleManifest, DivergenceEntry, LayerEntry
from edgedraft.runtime.core.plan import DecodingPlan
from edgedraft.runtime.onnx.exact import SWITCHED_OFF, Exactness

_CARD = """---
{front_matter}
---

# {target_name} with a trimmed {drafter_name} drafter

An edgedraft bundle: `target/` verifies what `{drafter_place}` proposes. The drafter's LM head keeps {size:,} of
{vocab:,} tokens ({share:.1%}); `drafter/index_map.safetensors` maps its ids back. Output is the target's own.
{layer}
| | target | drafter |
| --- | --- | --- |
| model | {target_name} | {drafter_name} |
| base model | {target_base} | {drafter_base} |
| licence | {target_license} | {drafter_license} |
| precision | {target_precision} | {drafter_precision} |
| stray from fp32 | {divergence} | {drafter_divergence} |
| weights a step reads | {target_megabytes:,.0f} MB | {drafter_megabytes:,.0f} MB |
{both_licences}
The tokens were chosen by {ranked_by}; counted were {ranking_tokens:,} tokens of {ranking_prompts} prompts
({prompts}). On {scoring_prompts} other prompts they cover {coverage:.2%} of the target's tokens
(95 % interval {coverage_low:.2%} to {coverage_high:.2%}).

**Plan** for {device}: draft length {draft_length}. {reason}.

{speeds}

## Use

In the folder that holds these files as plain files (with the hub's own client: `hf download NAME --local-dir FOLDER`):

    edgedraft generate . "Write a function that reverses a linked list."
    edgedraft bench .
"""

_MEASURED = """## Measured

{table}

Medians over {prompts} prompts of at most {tokens} new tokens each, with the quartiles in brackets, by `edgedraft bench`
on {machine}, {threads} threads, ONNX Runtime {onnxruntime}{kernels}. {exactness}Speeds are of decoding, the reading of
the prompt left out; speed-ups are against the {speed_base}. τ is the mean of tokens emitted in a pass of the target."""

_PREDICTED = """## Predicted

{table}

These are the plan's predictions, not measurements: τ {tau:.2f}, {accepted:.1%} of the examined drafts kept, and a
speed-up between {low:.2f}× and {high:.2f}× (80 % interval). Measure your own machine with `edgedraft bench .`"""
_WAYS_HEADER = ("", "tokens/s", "speed-up", "τ", "drafts kept", "same text as the target alone")


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredSpeeds:
    """Results of a bench of the bundle; the card shows ``machine`` unchanged."""

    machine: str
    threads: int
    onnxruntime: str
    report: BenchReport
    kernels: PairKernels = UNRECORDED
    exactness: Exactness | None = None


def model_card(manifest: BundleManifest, measured: MeasuredSpeeds | None = None) -> str:
    """Write the card as Markdown with front matter for model hubs; without ``measured`` it shows the predictions."""
    target, drafter, plan, calibration = manifest.target, manifest.drafter, manifest.plan, manifest.calibration
    return _CARD.format(
        front_matter=front_matter(manifest),
        target_name=target.name,
        target_base=target.base_model,
        target_license=target.license,
        target_precision=target.precision,
        divergence=_divergence(manifest.divergence),
        drafter_divergence=_divergence(manifest.drafter_divergence),
        target_megabytes=target.weight_bytes / 1e6,
        drafter_name=drafter.name,
        drafter_place=f"{DRAFTER}/" if manifest.layer is None else drafter.graph,
        layer="" if manifest.layer is None else _layer(manifest.drafter_kind, manifest.layer),
        drafter_base=drafter.base_model,
        drafter_license=drafter.license,
        drafter_precision=drafter.precision,
        drafter_megabytes=drafter.weight_bytes / 1e6,
        both_licences=_both_licences(target.license, drafter.license),
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
        speeds=_predicted(plan) if measured is None else _measured(measured),
    )


def _layer(kind: str, layer: LayerEntry) -> str:
    """Say what a drafter that is a layer on the target reads of the target, and which engines run it."""
    taps = ", ".join(map(str, layer.tapped_layers))
    states = f"the states that enter its layers {taps}" if kind == EAGLE3 else "its state after the final norm"
    if kind == MTP and taps:
        states = "its state before the final norm"
    parts = [part for part, name in (("token embedding", TABLE), ("LM head", HEAD)) if name in layer.borrowed]
    own = [part for part, name in (("token embedding", TABLE), ("LM head", HEAD)) if name not in layer.borrowed]
    owners = [f"{' and '.join(parts)} of the target"] * bool(parts) + [f"{' and '.join(own)} of its own"] * bool(own)
    return (
        f"\nThe drafter ({kind}) is one layer that reads the target's hidden states: {states}. It has the "
        f"{', and the '.join(owners)}. edgedraft runs it; onnxruntime-genai has no loop for such drafters and runs the "
        "target alone.\n"
    )


def _both_licences(of_target: str, of_drafter: str) -> str:
    """Name both licences where they differ."""
    if of_target == of_drafter:
        return ""
    return f"\n`target/` is under its model's licence, {of_target}; `drafter/` under its own, {of_drafter}.\n"


def _measured(measured: MeasuredSpeeds) -> str:
    report = measured.report
    rows = [_way_row(name, way, report.prompts) for name, way in report.ways.items()]
    return _MEASURED.format(
        table="\n".join(
            markdown_table(("", "tokens/s", "speed-up", "τ", "drafts kept", "same text as the target alone"), rows)
        ),
        prompts=report.prompts,
        tokens=report.max_new_tokens,
        machine=measured.machine,
        threads=measured.threads,
        onnxruntime=measured.onnxruntime,
        kernels="" if measured.kernels == UNRECORDED else f", {measured.kernels}",
        exactness=_exactness(measured.exactness),
        speed_base=report.speed_base,
    )


def _exactness(exactness: Exactness | None) -> str:
    if exactness is None:
        return ""
    if exactness.exact:
        return "Exact mode was on: every text must equal the target's own. "
    reason = "" if exactness.reason in (None, SWITCHED_OFF) else f" ({exactness.reason})"
    return f"Exact mode was off{reason}: texts are {exactness.label}. "


def _way_row(name: str, way: WayReport, prompts: int) -> tuple[str, ...]:
    kept = f"{way.acceptance_rate:.1%}" if way.draft_tokens_proposed else "–"
    speed, gain = way.tokens_per_second.text(1), way.speed_up.text(2)
    return name, speed, gain, f"{way.block_efficiency:.2f}", kept, f"{way.equal_texts} of {prompts}"


def _predicted(plan: DecodingPlan) -> str:
    alone, drafted = plan.predicted_plain_tokens_per_second, plan.predicted_tokens_per_second
    rows = [
        ("target alone", f"{alone:.1f}", "1.00"),
        ("with the drafter", f"{drafted:.1f}", f"{plan.predicted_speed_up:.2f}"),
    ]
    return _PREDICTED.format(
        table="\n".join(markdown_table(("", "tokens/s", "speed-up"), rows)),
        tau=plan.predicted_block_efficiency,
        accepted=plan.predicted_acceptance_rate,
        low=plan.speed_up_low,
        high=plan.speed_up_high,
    )


def _sources(names: Sequence[str]) -> str:
    """Say which counts chose the tokens; counts after the first break the ties of those before them."""
    first, *others = names or ("generated text",)
    return f"{first} ({', then '.join(others)} where these are equal)" if others else first


def _divergence(divergence: DivergenceEntry | None) -> str:
    if divergence is None:
        return "not measured"
    same = f"the same choice at {divergence.greedy_agreement:.1%} of {divergence.positions} positions"
    return f"KL {divergence.kl_per_token:.4f} nats a token, {same}"


_TAGS = ["speculative-decoding", "vocabulary-trimming", "onnx", "onnxruntime-genai", "edge"]
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FLOAT = "fp32"
_UNKNOWN = "unknown"

# The names that the hub knows; any other licence is "other" with a name of its own.
_KNOWN = """
afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0
cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0
cdla-sharing-1.0 creativeml-openrail-m ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 gemma gfdl gpl gpl-2.0 gpl-3.0 isc
lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl
odc-by ofl-1.1 openrail openrail++ osl-3.0 pddl postgresql unknown unlicense wtfpl zlib
"""
_LICENSES = frozenset(_KNOWN.split())


def front_matter(manifest: BundleManifest) -> str:
    """Return the YAML between the card's first two rules; facts that are not known are left out."""
    from huggingface_hub import ModelCardData

    target, drafter = manifest.target, manifest.drafter
    bases = [name for name in dict.fromkeys((target.base_model, drafter.base_model)) if _HUB_ID.fullmatch(name)]
    packed = {target.precision, drafter.precision} != {_FLOAT}
    license_, license_name = _license(target.license, drafter.license)
    return ModelCardData(
        base_model=bases or None,
        base_model_relation="quantized" if bases and packed else None,
        license=license_,
        license_name=license_name,
        library_name="edgedraft",
        pipeline_tag="text-generation",
        tags=_TAGS,
    ).to_yaml()


def _license(of_target: str, of_drafter: str) -> tuple[str | None, str | None]:
    """Return the hub's licence and, where that is "other" (two that differ, or one unknown to it), its name."""
    names = list(dict.fromkeys(_identifier(name) for name in (of_target, of_drafter)))
    if len(names) == 1 and names[0] in _LICENSES:
        return (None if names[0] == _UNKNOWN else names[0]), None
    return "other", "-and-".join(names)


def _identifier(name: str) -> str:
    """Return a licence's name as hubs write it: ``Apache-2.0`` is ``apache-2.0``."""
    return re.sub(r"[^a-z0-9.+]+", "-", name.lower()).strip("-") or _UNKNOWN
