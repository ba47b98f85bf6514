"""A drafter's graphs compute what the layer in plain torch computes, and a borrowed head what the target's does."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from edgedraft.exporter.graph.eagle.assembling import assemble
from edgedraft.exporter.graph.eagle.checkpoint import EagleCheckpoint
from edgedraft.exporter.graph.head import expand_logits, head_row_size, trim_head
from edgedraft.exporter.graph.heads.tail import find_tail
from edgedraft.exporter.graph.loading import load_graph, model_size, vocabulary_width
from edgedraft.exporter.graph.packing import pack_model
from edgedraft.exporter.graph.precisions import PRECISIONS, TABLE
from edgedraft.exporter.graph.taps import target_shape
from edgedraft.exporter.models.eagle.fitting import fitted
from edgedraft.exporter.models.eagle.reading import read_eagle
from edgedraft.runtime.core.index_map import IndexMap
from tests.exporter.families import build, open_family
from tests.exporter.graph.eagle.drafting import CONTEXT, Drafter, draft
from tests.plain_eagle import HIDDEN, KINDS, TRAINERS, VOCAB, PlainEagle, save_checkpoint

PROMPT, DEPTHS = 7, 4
FP32 = TABLE["fp32"]


@pytest.fixture(scope="module")
def target(tiny_opened) -> ir.Model:
    return ir.external_data.load_to_model(load_graph(tiny_opened.target.graph))


@pytest.fixture(scope="module")
def ends(tiny_pair) -> tuple[np.ndarray, np.ndarray]:
    """The target's table and head, (vocab, hidden) each."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_pair.target)
    return model.model.embed_tokens.weight.detach().numpy(), model.lm_head.weight.detach().numpy()


def checkpoint(folder, name: str, target: ir.Model) -> EagleCheckpoint:
    """A checkpoint of the trainer for a target of two layers: its default taps need a deeper one."""
    found = read_eagle(save_checkpoint(folder, TRAINERS[name]))
    if found.layout.tapped_layers is None:
        found = replace(found, layout=replace(found.layout, tapped_layers=(0, 1, 1)))
    return fitted(found, target_shape(target))


def case(name: str, rows: int = PROMPT, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random features, and tokens for as many rows and the drafts after them."""
    rng = np.random.default_rng(seed)
    width = (3 if TRAINERS[name].eagle3 else 1) * HIDDEN
    return rng.normal(size=(rows, width)).astype(np.float32), rng.integers(0, VOCAB, rows + DEPTHS)


@pytest.mark.parametrize("name", KINDS)
def test_logits_and_states_are_those_of_plain_torch_at_every_depth(graphs, target, ends, tmp_path, name):
    made = assemble(checkpoint(tmp_path, name, target), target, FP32, CONTEXT)
    plain = PlainEagle(tmp_path, TRAINERS[name], *ends)
    features, ids = case(name)
    found, expected = draft(Drafter(graphs, made), features, ids), draft(plain, features, ids)
    assert len(found) == 2 * (1 + DEPTHS)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * max(np.abs(theirs).max(), 1.0))
    assert np.abs(expected[0] - expected[2]).max() > 0.1  # another depth says something else


@pytest.mark.parametrize("name", KINDS)
def test_rows_read_again_after_drafts_forget_them(graphs, target, ends, tmp_path, name):
    """After a verified round, rows of drafts are dropped and accepted tokens read with the target's features."""
    made = assemble(checkpoint(tmp_path, name, target), target, FP32, CONTEXT)
    features, ids = case(name, rows=10)
    one, other = Drafter(graphs, made), Drafter(graphs, made)
    draft(one, features[:PROMPT], ids[: PROMPT + DEPTHS])
    one.length = PROMPT
    other.read(ids[:PROMPT].tolist(), other.fuse(features[:PROMPT]))
    again = [drafter.read(ids[PROMPT:10].tolist(), drafter.fuse(features[PROMPT:])) for drafter in (one, other)]
    for ours, theirs in zip(*again, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("family", ["Llama", "Qwen 2", "Gemma 2", "Phi 2", "Granite"])
@pytest.mark.parametrize("precision", ["fp32", "int4"])
def test_a_borrowed_head_scores_as_the_targets_does(graphs, tmp_path_factory, tmp_path, family, precision):
    """Product, bias, scale and soft cap, packed or not: the target's state gives the target's logits."""
    whole = open_family(build(family, tmp_path_factory.getbasetemp() / "borrowed"))
    pack_model(whole, TABLE[precision])
    found = checkpoint(tmp_path, "EAGLE-2, Qwen", whole)
    made = assemble(silenced(found), whole, FP32, CONTEXT)
    states = np.random.default_rng(0).normal(size=(1, HIDDEN)).astype(np.float32)
    logits, after = Drafter(graphs, made).read([5], states)
    np.testing.assert_allclose(after, states, atol=1e-6)
    head = ir.Model(head_alone(whole), ir_version=10)
    expected = graphs.run(head, {str(head.graph.inputs[0].name): states[None]})
    np.testing.assert_allclose(logits, expected[0, 0], atol=1e-4 * np.abs(expected).max())
    assert vocabulary_width(made.step) == VOCAB


def silenced(found: EagleCheckpoint) -> EagleCheckpoint:
    """An EAGLE-2 layer that returns the target's state unchanged."""
    weights = {name: np.zeros_like(array) if "proj" in name else array for name, array in found.weights.items()}
    weights["fc.weight"] = np.concatenate([np.zeros((HIDDEN, HIDDEN)), np.eye(HIDDEN)], 1).astype(np.float32)
    return replace(found, weights=weights)


def head_alone(target: ir.Model) -> ir.Graph:
    from edgedraft.exporter.graph.eagle.borrowing import borrowed_head

    return borrowed_head(target)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["SpecForge", "EAGLE-1", "SpecForge, EAGLE-3.1"])
def test_a_trimmed_head_says_the_same_bits(graphs, target, tmp_path, name, precision):
    """Own heads and borrowed ones, in every precision."""
    found, features, ids = checkpoint(tmp_path, name, target), *case(name)
    packed = target.clone()
    pack_model(packed, TABLE[precision])
    full = assemble(found, packed, TABLE[precision], CONTEXT)
    width = vocabulary_width(full.step)
    kept = np.sort(np.random.default_rng(3).permutation(width)[:64])
    told = draft(Drafter(graphs, full), features, ids)
    rows = IndexMap(target_ids=kept, target_vocab_size=width)
    trim_head(full.step, rows)
    for place, (ours, theirs) in enumerate(zip(draft(Drafter(graphs, full), features, ids), told, strict=True)):
        np.testing.assert_array_equal(ours, theirs if place % 2 else theirs[kept])


def test_a_borrowed_head_is_packed_as_the_targets_is(target, tmp_path):
    """int4 blocks of the target keep their bytes, in any precision of the drafter."""
    packed = target.clone()
    pack_model(packed, TABLE["int4"])
    made = assemble(checkpoint(tmp_path, "SpecForge, EAGLE-3.1", packed), packed, TABLE["int8"], CONTEXT)
    ours, theirs = (
        {name: value.const_value.numpy() for name, value in model.graph.initializers.items() if "head" in name}
        for model in (made.step, packed)
    )
    assert ours.keys() == theirs.keys()
    assert len(ours) == 3  # values, scales and zero points
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name])
    bits = {node.name: node.attributes["bits"].as_int() for node in made.step.graph if node.op_type == "MatMulNBits"}
    assert bits.pop("/lm_head/MatMul") == 4
    assert set(bits.values()) == {8}


def test_a_map_without_a_head_keeps_those_rows_of_the_targets(graphs, target, ends, tmp_path):
    found = checkpoint(tmp_path, "SpecForge, EAGLE-3.1", target)
    ids = np.sort(np.random.default_rng(4).permutation(VOCAB)[:128])
    made = assemble(replace(found, target_ids=ids), target, FP32, CONTEXT)
    whole = assemble(found, target, FP32, CONTEXT)
    np.testing.assert_array_equal(made.index_map.target_ids, ids)
    fed = case("SpecForge, EAGLE-3.1")
    few, all_ = (draft(Drafter(graphs, each), *fed)[0] for each in (made, whole))
    np.testing.assert_array_equal(few, all_[ids])


def test_the_graph_is_known_to_everything_that_takes_a_drafters(graphs, target, tmp_path):
    """Its size is counted, its head found, its logits expanded to the target's vocabulary."""
    made = assemble(checkpoint(tmp_path, "SpecForge", target), target, FP32, CONTEXT)
    heads = 256 * HIDDEN
    body = 4 * 32 * 2 * HIDDEN + 2 * 2 * 32 * 2 * HIDDEN + HIDDEN * HIDDEN + 3 * 192 * HIDDEN
    norms = 4 * HIDDEN
    assert model_size(made.step).parameters == pytest.approx(heads + body + norms, abs=8)
    assert head_row_size(made.step).parameters == HIDDEN
    features, ids = case("SpecForge")
    reduced = draft(Drafter(graphs, made), features, ids)[0]
    expand_logits(made.step, made.index_map)
    spread = draft(Drafter(graphs, made), features, ids)[0]
    np.testing.assert_array_equal(spread[made.index_map.target_ids], reduced)
    assert np.isneginf(spread).sum() == VOCAB - 256


def test_a_table_of_its_own_beside_the_head_of_a_tied_target(graphs, tmp_path_factory, tmp_path):
    """The target's head may have the same name as the drafter's token embedding."""
    tied = open_family(build("Qwen 2", tmp_path_factory.getbasetemp() / "borrowed"))
    head = find_tail(tied).product.inputs[1]
    head.name = "model.embed_tokens.weight"
    found = checkpoint(tmp_path, "EAGLE-1", tied)
    made = assemble(found, tied, FP32, CONTEXT)
    plain = PlainEagle(tmp_path, TRAINERS["EAGLE-1"], np.zeros(1), head.const_value.numpy().T)
    for ours, theirs in zip(*(draft(each, *case("EAGLE-1")) for each in (Drafter(graphs, made), plain)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * max(np.abs(theirs).max(), 1.0))


def test_the_target_is_left_as_it_was(target, tmp_path):
    before = ir.to_proto(target).SerializeToString()
    assemble(checkpoint(tmp_path, "EAGLE-2, Qwen", target), target, TABLE["int4"], CONTEXT)
    assert ir.to_proto(target).SerializeToString() == before
