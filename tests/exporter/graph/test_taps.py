"""A tapped target's features are transformers' hidden states, for any exporter; its logits do not change."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
import torch

from edgedraft.exporter.graph.eagle.checkpoint import EAGLE, EAGLE3, EagleLayout, TargetShape
from edgedraft.exporter.graph.loading import load_graph
from edgedraft.exporter.graph.packing import pack_model
from edgedraft.exporter.graph.precisions import PRECISIONS, TABLE
from edgedraft.exporter.graph.taps import tap_for_training, tap_target, target_shape
from edgedraft.runtime.base.errors import EdgedraftError
from tests.exporter.families import FAMILIES, GPT2, HIDDEN, VOCAB, build, checkpoint, feed, open_family
from tests.plain_llama import Style, save_plain_llama

FAMILY_NAMES = [name for name in FAMILIES if name != GPT2]
FEATURES = "features"
ROUNDED = {"Gemma 2", "Gemma 3", "Phi 2"}
"""The builder rounds the scale of Gemma's embedding to two digits, and Phi's activation is another form of GELU."""
LAYOUT = EagleLayout(
    kind=EAGLE3,
    hidden=HIDDEN,
    target_hidden=HIDDEN,
    intermediate=1,
    heads=1,
    kv_heads=1,
    head_size=2,
    vocab_size=VOCAB,
    context_length=1,
    epsilon=1e-6,
    rotary_speeds=np.ones(1),
    tapped_layers=(0, 1),
    residual_normed=False,
    head_normed=True,
    feeds_back_normed=False,
)
FINAL = replace(LAYOUT, kind=EAGLE, tapped_layers=())


@pytest.fixture(scope="session")
def families(tmp_path_factory):
    return tmp_path_factory.mktemp("families")


def hidden_states(folder, ids: np.ndarray) -> list[np.ndarray]:
    """The states that, in transformers, enter each layer, and the state that its head reads."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        states = model(torch.from_numpy(ids), output_hidden_states=True).hidden_states
    return [state.numpy() for state in states]


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    """Relative to the size of what is expected."""
    assert (found.dtype, found.shape) == (np.float32, expected.shape)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_taps_are_transformers_hidden_states(graphs, families, name):
    """Both kinds of taps, for every family; the state of another layer differs clearly."""
    graph = build(name, families)
    plain = open_family(graph)
    fed = feed(plain, 7)
    states = hidden_states(checkpoint(name, families), fed["input_ids"])
    logits = graphs.run(plain, fed)
    taps = (
        (lambda model: tap_target(model, LAYOUT), np.concatenate(states[:2], -1)),
        (lambda model: tap_target(model, FINAL), states[2]),
        (lambda model: tap_for_training(model, (1, 0)), np.concatenate([states[1], states[0], states[2]], -1)),
    )
    for tap, expected in taps:
        model = open_family(graph)
        assert target_shape(model) == TargetShape(hidden=HIDDEN, layers=2, vocab_size=VOCAB)
        tap(model)
        assert distance(graphs.run(model, fed, FEATURES), expected) < (1e-3 if name in ROUNDED else 1e-5)
        np.testing.assert_array_equal(graphs.run(model, fed), logits)
    assert np.abs(states[0] - states[1]).max() > 0.1 * np.abs(states[0]).max()


@pytest.mark.parametrize("tied", [False, True])
def test_a_graph_in_plain_operators_is_tapped_alike(graphs, tiny_pair, tmp_path, tied):
    """Norms are spelled out there, and positions and masks are made from the inputs' shapes."""
    save_plain_llama(tiny_pair.target, tmp_path / "plain.onnx", Style(tied=tied))
    ids = np.random.default_rng(0).integers(2, VOCAB, (1, 9))
    for layout in (LAYOUT, FINAL):
        model = load_graph(tmp_path / "plain.onnx")
        tap_target(model, layout)
        fed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "position_ids": np.arange(9)[None]}
        for value in model.graph.inputs:
            if value.name not in fed:
                fed[str(value.name)] = np.zeros((1, 2, 0, 32), np.float32)
        states = hidden_states(tiny_pair.target, ids)
        expected = np.concatenate(states[:2], -1) if layout is LAYOUT else states[2]
        assert distance(graphs.run(model, fed, FEATURES), expected) < 1e-5


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_packed_target_is_tapped_near_its_float_states(graphs, families, precision):
    graph = build("Qwen 2", families)
    states = hidden_states(checkpoint("Qwen 2", families), feed(open_family(graph), 7)["input_ids"])
    for layout, own in ((LAYOUT, [0, 1]), (FINAL, [2])):
        model = open_family(graph)
        pack_model(model, TABLE[precision])
        tap_target(model, layout)
        taps = np.split(graphs.run(model, feed(model, 7), FEATURES), len(own), axis=-1)
        far = [[distance(tap, state) for state in states] for tap in taps]
        assert np.argmin(far, axis=1).tolist() == own
        assert np.min(far) < 0.5


def test_states_in_half_precision_come_out_as_floats(graphs, families):
    graph = build("Llama", families, "fp16")
    for layout, parts in ((LAYOUT, slice(0, 2)), (FINAL, slice(2, 3))):
        model = open_family(graph)
        tap_target(model, layout)
        states = hidden_states(checkpoint("Llama", families), feed(model, 7)["input_ids"])
        expected = np.concatenate(states[parts], -1)
        found = graphs.run(model, feed(model, 7), FEATURES)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=2e-2 * np.abs(expected).max())


def test_one_state_may_be_tapped_twice(graphs, families):
    model = open_family(build("Llama", families))
    tap_target(model, replace(LAYOUT, tapped_layers=(1, 0, 1)))
    low, middle, high = np.split(graphs.run(model, feed(model, 5), FEATURES), 3, axis=-1)
    np.testing.assert_array_equal(low, high)
    assert np.abs(low - middle).max() > 0.01


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tapped_layers": (0, 2)}, "taps: layers must lie in 0..1, got (0, 2)"),
        ({"tapped_layers": None}, "taps: the tapped layers depend on the target, and were not settled"),
        ({"target_hidden": 64}, "taps: expected states of 64, got 128"),
    ],
)
def test_taps_that_cannot_be_had_are_refused(families, changes, told):
    model = open_family(build("Llama", families))
    outputs = list(model.graph.outputs)
    with pytest.raises(EdgedraftError) as error:
        tap_target(model, replace(LAYOUT, **changes))
    assert str(error.value) == told
    assert list(model.graph.outputs) == outputs


def test_a_graph_is_tapped_once(families):
    model = open_family(build("Llama", families))
    tap_target(model, LAYOUT)
    with pytest.raises(EdgedraftError, match="graph output features: already there"):
        tap_target(model, LAYOUT)


def test_a_graph_without_a_past_has_no_layers_to_tap(families):
    model = open_family(build(GPT2, families))
    with pytest.raises(EdgedraftError, match="graph: expected past keys and values, or a state, of every layer"):
        target_shape(model)


def test_the_tapped_file_is_as_large_as_before(families, tmp_path):
    """No weight is copied: only three nodes are added."""
    model = open_family(build("Llama", families))
    before = len(ir.to_proto(model).SerializeToString())
    tap_target(model, LAYOUT)
    assert 0 < len(ir.to_proto(model).SerializeToString()) - before < 1000
