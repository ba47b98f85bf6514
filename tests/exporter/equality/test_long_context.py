"""LongRoPE beyond its original length: with any drafts and any pieces of a prompt, the text is transformers' own."""

import json
import shutil

import numpy as np
import pytest

from edgedraft.exporter.graph.loading import load_graph, save_graph
from edgedraft.exporter.graph.needs import graph_needs
from edgedraft.exporter.graph.rope_switch import note_rope_switch
from edgedraft.exporter.graph.worker_pack import pack_folder
from edgedraft.exporter.models.worker_build import build
from edgedraft.runtime.core.decoding import speculative_rounds
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.model import prefill
from edgedraft.runtime.core.padding import Padded
from edgedraft.runtime.core.pass_times import PairPassTimes, PassTimes
from edgedraft.runtime.core.policies import POLICIES, PolicyChoice, PolicyParts, build_drafter
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.core.switching import longest_pass_end
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings
from tests.exporter.equality.conftest import SWITCH
from tests.exporter.families import VOCAB

CONTEXT, ANSWER = 160, 40
SETTINGS = SessionSettings(threads=2, context_length=CONTEXT)
TEXT = np.random.default_rng(5).integers(2, VOCAB, CONTEXT).tolist()
PROMPTS = [3, SWITCH - 10, SWITCH - 1, SWITCH, SWITCH + 1, SWITCH + 35]


def packed(source, root):
    """A folder's graph, converted as `convert` does."""
    built, output = root / f"{source.name}-float", root / f"{source.name}-packed"
    output.mkdir()
    build(source, built)
    pack_folder(built, output, "fp32")
    return output / "model.onnx"


@pytest.fixture(scope="module")
def source(mended):
    return mended("Phi 3.5")[0]


@pytest.fixture(scope="module")
def graph(source, tmp_path_factory):
    return OnnxGraph(packed(source, tmp_path_factory.mktemp("target")), SETTINGS)


@pytest.fixture(scope="module")
def drafter_graph(source, tmp_path_factory):
    """The same weights with another border, so that some drafts are rejected."""
    root = tmp_path_factory.mktemp("drafter")
    shutil.copytree(source, root / "drafter")
    file = root / "drafter" / "config.json"
    config = json.loads(file.read_text())
    config["original_max_position_embeddings"] = SWITCH - 8
    config["rope_parameters"]["original_max_position_embeddings"] = SWITCH - 8
    file.write_text(json.dumps(config))
    return OnnxGraph(packed(root / "drafter", root), SETTINGS)


@pytest.fixture(scope="module")
def by_transformers(source):
    """Greedy continuations of each prompt, by transformers' generate."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(source, dtype="float32").eval()

    def answer(length):
        given = {"max_new_tokens": ANSWER, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        return model.generate(torch.tensor([TEXT[:length]]), **given)[0, length:].tolist()

    return {length: answer(length) for length in PROMPTS}


def answered(target, drafter_model, policy, length):
    source = ModelTokenSource(drafter_model, IndexMap(target_ids=np.arange(VOCAB), target_vocab_size=VOCAB))
    times = PairPassTimes(target=PassTimes([0.1] * 9), drafter=PassTimes([0.01] * 2), acceptance_rate=0.8)
    parts = PolicyParts(source=source, clock=lambda: 0.0, pass_times=times)
    drafter = build_drafter(PolicyChoice(name=policy, draft_length=4, p_min=0.0), parts)
    rounds = list(limited(speculative_rounds(target, drafter, TEXT[:length]), Limits(max_new_tokens=ANSWER)))
    return [token for round_ in rounds for token in round_.token_ids], sum(round_.accepted for round_ in rounds)


@pytest.mark.parametrize("policy", POLICIES)
def test_text_across_the_border_is_transformers_own(graph, drafter_graph, by_transformers, policy):
    """One slot answers all prompts, so that each starts from the caches of the one before."""
    target, drafter = graph.new_model(), drafter_graph.new_model()
    accepted = 0
    for length, expected in by_transformers.items():
        said, count = answered(target, drafter, policy, length)
        assert said == expected
        accepted += count
    assert accepted > 0 or policy == "plain" or "ngram" in policy


def test_padded_passes_stay_on_their_side(graph, drafter_graph, by_transformers):
    """Passes of four rows are the cheapest here, so nearly every pass is padded, in exact mode single steps too."""
    seconds = (1.0, 1.0, 1.0, 0.1)
    target, drafter = (Padded(each.new_model(), seconds, "cpu") for each in (graph, drafter_graph))
    for length, expected in by_transformers.items():
        assert answered(target, drafter, "fixed", length)[0] == expected


def test_a_long_prompt_is_read_once_and_a_short_one_drops_it(graph):
    """A prompt whose length is known uses the right factors from its first piece on."""
    model = graph.new_model()
    passes = []
    run = model._run
    model._run = lambda ids, start, *more: passes.append((start, len(ids))) or run(ids, start, *more)
    longer = np.array(prefill(model, TEXT[: SWITCH + 40]))
    assert passes == [(0, 32), (32, 32), (64, 24)]
    whole = graph.new_model()
    whole.expect(SWITCH + 40)
    np.testing.assert_allclose(longer, whole.read(TEXT[: SWITCH + 40]).logits[-1], atol=1e-4)
    passes.clear()
    prefill(model, TEXT[:SWITCH])
    assert passes == [(0, 32), (32, 16)]


def test_rows_of_a_pass_across_the_border_are_those_of_single_steps(graph):
    wide, narrow = graph.new_model(), graph.new_model()
    found = wide.read(TEXT[: SWITCH + 5]).logits
    expected = np.concatenate([np.array(narrow.read([token]).logits) for token in TEXT[: SWITCH + 5]])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    for length in (SWITCH + 2, SWITCH - 3):  # back to either side, and over the border again
        wide.rewind(length)
        np.testing.assert_allclose(wide.read(TEXT[length : SWITCH + 5]).logits, expected[length:], atol=1e-4)


def test_no_draft_crosses_the_border(graph):
    model = graph.new_model()
    ends = [longest_pass_end(model, length, CONTEXT) for length in (1, SWITCH, SWITCH + 1)]
    assert ends == [SWITCH, SWITCH, CONTEXT]


def test_a_batch_steps_rows_of_both_sides(graph):
    """One row's text is short, the other's long: neither changes the other's keys."""
    batch = graph.batch(2)
    alone = [graph.new_model() for _ in range(2)]
    for row, other, length in zip(batch.rows, alone, (8, SWITCH + 8), strict=True):
        prefill(row, TEXT[:length])
        prefill(other, TEXT[:length])
    found = np.array(batch.step([5, 6]))
    expected = np.concatenate(
        [np.array(other.read([token]).logits) for other, token in zip(alone, (5, 6), strict=True)]
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_context_within_the_first_table_needs_no_second(source, graph):
    short = OnnxGraph(graph._path, SessionSettings(threads=2, context_length=SWITCH))
    assert not hasattr(short.new_model(), "switch_length")


def test_the_border_stands_in_the_metadata_and_one_table_has_none(mended, tmp_path):
    model = load_graph(mended("Phi 3.5")[1] / "model.onnx")
    assert note_rope_switch(model) == SWITCH
    save_graph(model, tmp_path / "model.onnx", "model.onnx.data")
    assert load_graph(tmp_path / "model.onnx").metadata_props == {"edgedraft.rope_switch": str(SWITCH)}
    assert note_rope_switch(load_graph(mended("Llama, YaRN")[1] / "model.onnx")) is None


def test_a_browser_is_told_where_the_first_table_ends(mended):
    """The browser reads only the manifest, and ends its context there."""
    told = [graph_needs(load_graph(mended(name)[1] / "model.onnx")).operators for name in ("Phi 3.5", "Llama, YaRN")]
    assert [[name for name in each if name.startswith("RotaryTables/")] for each in told] == [["RotaryTables/48"], []]
