"""The model card says what the bundle holds, where it came from and what was predicted."""

import re
from dataclasses import replace

import pytest
from huggingface_hub import ModelCard

from edgedraft.exporter.bundle.card import model_card
from edgedraft.runtime.bundle.manifest import SCHEMA_VERSION, BundleManifest, DivergenceEntry, ModelEntry

COVERAGE = {"coverage": 0.98765, "coverage_low": 0.97, "coverage_high": 0.99}


def entry(name: str, **changes) -> ModelEntry:
    facts = {"base_model": f"Org/{name}", "license": "Apache-2.0", "graph": f"{name}/model.onnx", "precision": "int4"}
    counts = {"parameters": 10, "weight_bytes": 1_234_500_000, "conversion": "c"}
    needs = {"data": (), "largest_tensor_bytes": 10, "half": False}
    return ModelEntry(name=name, **{**facts, **counts, **needs, **changes})


@pytest.fixture
def manifest(make_plan, make_calibration) -> BundleManifest:
    return BundleManifest(
        schema_version=SCHEMA_VERSION,
        target=entry("Big"),
        drafter=entry("Small", weight_bytes=200_000_000, precision="int8", license="MIT"),
        index_map="map",
        target_vocab_size=151_936,
        context_length=32_768,
        end_token_ids=(1,),
        tokenizer_fingerprint="f",
        calibration=make_calibration(
            ranking_prompts=60, scoring_prompts=61, ranking_tokens=12_345, ranked_by=("target", "drafter"), **COVERAGE
        ),
        plan=make_plan(draft_vocab_size=16_384, drafter_precision="int8"),
        files={},
    )


def front(manifest, **changes) -> dict:
    """The front matter as the hub's own client reads it; changes are of target and drafter, two values each."""
    models = [{name: both[place] for name, both in changes.items()} for place in (0, 1)]
    target, drafter = (replace(m, **c) for m, c in zip((manifest.target, manifest.drafter), models, strict=True))
    return ModelCard(model_card(replace(manifest, target=target, drafter=drafter))).data.to_dict()


def test_the_front_matter_is_what_model_hubs_read(manifest):
    assert front(manifest, license=("Apache-2.0", "apache-2.0")) == {
        "license": "apache-2.0",
        "base_model": ["Org/Big", "Org/Small"],
        "base_model_relation": "quantized",
        "library_name": "edgedraft",
        "pipeline_tag": "text-generation",
        "tags": ["speculative-decoding", "vocabulary-trimming", "onnx", "onnxruntime-genai", "edge"],
    }


@pytest.mark.parametrize(
    ("licenses", "told"),
    [
        (("MIT", "MIT"), {"license": "mit"}),
        (("Apache-2.0", "MIT"), {"license": "other", "license_name": "apache-2.0-and-mit"}),
        (("qwen-research", "qwen-research"), {"license": "other", "license_name": "qwen-research"}),
        (("Apache-2.0", "Qwen Research"), {"license": "other", "license_name": "apache-2.0-and-qwen-research"}),
        (("unknown", "MIT"), {"license": "other", "license_name": "unknown-and-mit"}),
        (("unknown", "unknown"), {}),
        (("mit: [x", "mit: [x"), {"license": "other", "license_name": "mit-x"}),
    ],
)
def test_licences_are_told_as_hubs_know_them(manifest, licenses, told):
    found = front(manifest, license=licenses)
    assert {key: value for key, value in found.items() if key.startswith("license")} == told


def test_two_licences_are_told_of_what_they_are(manifest):
    told = "`target/` is under its model's licence, Apache-2.0; `drafter/` under its own, MIT."
    assert told in model_card(manifest)
    same = replace(manifest, drafter=replace(manifest.drafter, license="Apache-2.0"))
    assert "under its own" not in model_card(same)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("Org/Big", "unknown"), ["Org/Big"]),
        (("Org/One", "Org/One"), ["Org/One"]),
        (("unknown", "/home/me/model"), None),
    ],
)
def test_only_models_of_the_hub_are_base_models(manifest, names, told):
    found = front(manifest, base_model=names)
    assert found.get("base_model") == told
    assert ("base_model_relation" in found) == (told is not None)


def test_a_float_pair_is_no_quantization(manifest):
    assert "base_model_relation" not in front(manifest, precision=("fp32", "fp32"))
    assert front(manifest, precision=("fp32", "int8"))["base_model_relation"] == "quantized"


def test_what_was_not_measured_is_told_as_foreseen(manifest):
    card = model_card(manifest)
    assert "## Predicted" in card
    assert "## Measured" not in card
    assert "| target alone     |     15.0 |     1.00 |\n| with the drafter |     20.0 |     1.33 |" in card
    assert (
        "These are the plan's predictions, not measurements: τ 2.50, 70.0% of the examined drafts kept, and a\n"
        "speed-up between 1.10× and 1.50× (80 % interval)." in card
    )


@pytest.mark.parametrize(
    "fact",
    [
        "# Big with a trimmed Small drafter",
        "keeps 16,384 of\n151,936 tokens (10.8%)",
        "| licence | Apache-2.0 | MIT |",
        "| precision | int4 | int8 |",
        "| weights a step reads | 1,234 MB | 200 MB |",
        "chosen by target (drafter where these are equal); counted were 12,345 tokens of 60 prompts\n"
        "(my prompts). On 61 other prompts",
        "98.77% of the target's tokens\n(95 % interval 97.00% to 99.00%)",
        "**Plan** for a laptop: draft length 3. speculate: it pays.",
    ],
)
def test_the_card_tells(manifest, fact):
    assert fact in model_card(manifest)


def test_a_measured_divergence_is_told_and_one_that_was_not_is_not_made_up(manifest):
    assert "| stray from fp32 | not measured | not measured |" in model_card(manifest)
    measured = DivergenceEntry(precision="int4", kl_per_token=0.02174, greedy_agreement=0.9414, positions=768)
    told = "KL 0.0217 nats a token, the same choice at 94.1% of 768 positions"
    card = model_card(replace(manifest, divergence=measured))
    assert f"| stray from fp32 | {told} | not measured |" in card


def test_no_placeholder_is_left(manifest):
    assert not re.search(r"[{}]", model_card(manifest))
