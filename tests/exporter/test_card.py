"""The model card says what the bundle holds, where it came from and what was predicted."""

import re

import pytest

from edgedraft.exporter.card import model_card
from edgedraft.exporter.quality import Divergence
from edgedraft.runtime.manifest import SCHEMA_VERSION, BundleManifest, ModelEntry

COVERAGE = {"coverage": 0.98765, "coverage_low": 0.97, "coverage_high": 0.99}


def entry(name: str, **changes) -> ModelEntry:
    facts = {"base_model": f"Org/{name}", "license": "Apache-2.0", "graph": f"{name}/model.onnx", "precision": "int4"}
    counts = {"parameters": 10, "weight_bytes": 1_234_500_000, "conversion": "c"}
    return ModelEntry(name=name, **{**facts, **counts, **changes})


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


def test_the_front_matter_is_what_model_hubs_read(manifest):
    from huggingface_hub import ModelCard

    data = ModelCard(model_card(manifest)).data
    assert data.license == "apache-2.0"
    assert data.base_model == ["Org/Big", "Org/Small"]
    assert data.to_dict()["library_name"] == "edgedraft"


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
    measured = Divergence(precision="int4", kl_per_token=0.02174, greedy_agreement=0.9414, positions=768)
    told = "KL 0.0217 nats a token, the same choice at 94.1% of 768 positions"
    assert f"| stray from fp32 | {told} | not measured |" in model_card(manifest, measured)


def test_no_placeholder_is_left(manifest):
    assert not re.search(r"[{}]", model_card(manifest))
