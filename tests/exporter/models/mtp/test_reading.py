"""MTP heads of every form become one record; heads that are not known get a one-line error before weights are read."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edgedraft.exporter.graph.eagle.checkpoint import MTP, TargetShape
from edgedraft.exporter.models.eagle.fitting import description, fitted
from edgedraft.exporter.models.mtp.reading import declared_mtp, find_head, read_mtp
from edgedraft.runtime.base.errors import EdgedraftError
from tests.plain_eagle import HEAD_SIZE, HEADS, HIDDEN, VOCAB
from tests.plain_mtp import FAMILIES, KINDS, TARGET_LAYERS, random_head, save_head

TARGET = TargetShape(hidden=HIDDEN, layers=TARGET_LAYERS, vocab_size=VOCAB)
every_kind = pytest.mark.parametrize("kind", KINDS)


def refusal(folder: Path) -> str:
    """The error of a head whose tensors are not there to be read: its file ends behind the header."""
    for file in folder.glob("*.safetensors"):
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
        size = file.stat().st_size
        with file.open("r+b") as opened:  # the same size, without a single number in it
            opened.truncate(8 + length)
            opened.truncate(size)
    with pytest.raises(EdgedraftError) as error:
        fitted(declared_mtp(folder, "mine"), TARGET)
    assert "\n" not in str(error.value)
    return str(error.value)


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_form_is_read(tmp_path, kind, dtype):
    family = FAMILIES[kind]
    state = random_head(family, dtype=dtype)
    found = fitted(read_mtp(save_head(tmp_path, family, state), "mine"), TARGET)
    layout = found.layout
    assert (layout.kind, layout.tapped_layers, layout.feature_width) == (MTP, family.entering, HIDDEN)
    assert (layout.head_normed, layout.feeds_back_normed, layout.residual_normed) == (True, True, False)
    assert (layout.states_first, layout.first_row_blank) == (family.state_first, family.blank_first)
    assert not found.own_head and not found.own_embedding  # copies of the target's are not read
    assert found.draft_vocab_size == VOCAB
    expected = family.theta ** (-np.arange(0, family.rotated, 2) / family.rotated)
    np.testing.assert_allclose(layout.rotary_speeds, expected, rtol=1e-12)
    assert all(array.dtype == np.float32 for array in found.weights.values())
    join = state[f"{family.outer}{family.join}.weight"].float().numpy()
    np.testing.assert_array_equal(found.weights["fc.weight"], join)
    norm = state[f"{family.outer}{family.last_norm}.weight"].float().numpy()
    np.testing.assert_array_equal(found.weights["norm.weight"], norm + family.one_plus)


def test_the_gate_stands_behind_each_heads_query(tmp_path):
    family = FAMILIES["Qwen 3.5"]
    state = random_head(family)
    weights = read_mtp(save_head(tmp_path, family, state), "mine").weights
    both = state["mtp.layers.0.self_attn.q_proj.weight"].numpy()
    for head in range(HEADS):
        rows, own = (
            slice(2 * head * HEAD_SIZE, (2 * head + 1) * HEAD_SIZE),
            slice(head * HEAD_SIZE, (head + 1) * HEAD_SIZE),
        )
        np.testing.assert_array_equal(weights["self_attn.q_proj.weight"][own], both[rows])
        behind = slice(rows.stop, rows.stop + HEAD_SIZE)
        np.testing.assert_array_equal(weights["self_attn.gate_proj.weight"][own], both[behind])


@every_kind
def test_only_the_heads_tensors_are_read(tmp_path, kind):
    """The others, in the same file or in another shard, may hold anything."""
    family = FAMILIES[kind]
    state = random_head(family)
    folder = save_head(tmp_path / "head", family, state)
    expected = read_mtp(folder, "mine").weights
    below = "model.language_model." if kind == "Qwen 3.5" else "model."
    decoder = {f"{below}layers.0.mlp.up_proj.weight": torch.ones(3, 4), f"{below}embed_tokens.weight": torch.ones(2, 2)}
    names = sorted(state)
    shards = [{name: state[name] for name in names[::2]} | decoder, {name: state[name] for name in names[1::2]}]
    (folder / "model.safetensors").unlink()
    for number, shard in enumerate(shards):
        save_file(shard, folder / f"model-{number + 1:05d}-of-00002.safetensors")
    found = read_mtp(folder, "mine").weights
    assert found.keys() == expected.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name])


@every_kind
def test_what_was_read_is_said_in_a_sentence(tmp_path, kind):
    found = fitted(declared_mtp(save_head(tmp_path, FAMILIES[kind]), "mine"), TARGET)
    where = "before" if kind == "MiMo" else "behind"
    assert description(found) == (
        f"mtp drafter mine: reads the state {where} the final norm; "
        "the target's head for 1024 of 1024 tokens; the target's table"
    )


def test_a_model_without_a_head_has_none(tmp_path, tiny_pair):
    assert find_head(tiny_pair.target) is None
    with pytest.raises(EdgedraftError, match="expected a multi-token-prediction head, got none - give another drafter"):
        read_mtp(tiny_pair.target, "mine")


def test_drafting_ends_where_a_window_would_begin(tmp_path):
    folder = save_head(tmp_path, FAMILIES["MiMo"], use_sliding_window=True, sliding_window=48)
    assert declared_mtp(folder, "mine").layout.context_length == 48
    folder = save_head(tmp_path, FAMILIES["MiMo"], use_sliding_window=False, sliding_window=48)
    assert declared_mtp(folder, "mine").layout.context_length == 512


# --- one line for each fault -----------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize(
    ("target", "told"),
    [
        ({"hidden": 64}, "made for a target with states of 128, got 64"),
        ({"vocab_size": 1000}, "made for a target with 1024 tokens, got 1000"),
    ],
)
def test_another_target_is_refused(tmp_path, kind, target, told):
    with pytest.raises(EdgedraftError) as error:
        fitted(declared_mtp(save_head(tmp_path, FAMILIES[kind]), "mine"), replace(TARGET, **target))
    assert str(error.value) == f"drafter mine: {told} - choose the target that it was trained for"


def test_a_state_that_the_target_does_not_have_is_refused(tmp_path):
    """MiMo's head reads the state behind the last layer, and there must be as many."""
    with pytest.raises(EdgedraftError, match=r"drafter mine: tapped layers must lie in 0\.\.1, got 2"):
        fitted(declared_mtp(save_head(tmp_path, FAMILIES["MiMo"]), "mine"), replace(TARGET, layers=1))


@every_kind
@pytest.mark.parametrize("lost", ["join", "state_norm", "last_norm", "self_attn.k_proj", "input_layernorm"])
def test_a_missing_tensor_is_named(tmp_path, kind, lost):
    family = FAMILIES[kind]
    state, leaf = random_head(family), getattr(family, lost, lost)
    del state[f"{family.outer if hasattr(family, lost) else family.inner}{leaf}.weight"]
    if kind == "DeepSeek" and lost == "join":
        assert find_head(save_head(tmp_path, family, state)) is None  # nothing tells the layer from a decoder's
        return
    told = f"{tmp_path}: missing tensors, got {leaf}.weight - give an MTP checkpoint as trained"
    assert refusal(save_head(tmp_path, family, state)) == told


def more_layers(kind: str) -> dict[str, torch.Tensor]:
    """The tensors of a second layer behind the first."""
    family = FAMILIES[kind]
    state = random_head(family)
    number = str(TARGET_LAYERS) if kind == "DeepSeek" else "0"
    behind = family.inner.replace(f".{number}.", f".{int(number) + 1}.")
    return state | {
        behind + name.removeprefix(family.inner): tensor.clone()
        for name, tensor in state.items()
        if name.startswith(family.inner)
    }


@every_kind
def test_heads_of_several_layers_are_refused(tmp_path, kind):
    told = refusal(save_head(tmp_path, FAMILIES[kind], more_layers(kind)))
    numbers = "2, 3" if kind == "DeepSeek" else "0, 1"
    assert told == (
        f"{tmp_path}: multi-token-prediction head ({kind}): one layer that feeds on itself is known, "
        f"got layers {numbers} - give another drafter with --drafter"
    )


UNKNOWN = {
    "MLA": ("DeepSeek", {"self_attn.kv_a_proj_with_mqa.weight": (40, HIDDEN)}, "multi-head latent attention (MLA)"),
    "experts": ("Qwen 3.5", {"mlp.experts.0.up_proj.weight": (8, HIDDEN)}, "a layer with experts is not known"),
    "router": ("DeepSeek", {"mlp.gate.weight": (8, HIDDEN)}, "a layer with experts is not known"),
    "norm": (
        "MiMo",
        {"post_self_attn_layernorm.weight": (HIDDEN,)},
        "tensors that no known MTP layer has, got post_self",
    ),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_layers_that_are_not_known_are_refused_by_name(tmp_path, case):
    kind, added, told = UNKNOWN[case]
    more = {FAMILIES[kind].inner + name: torch.ones(shape) for name, shape in added.items()}
    assert told in refusal(save_head(tmp_path, FAMILIES[kind], random_head(FAMILIES[kind]) | more))


@pytest.mark.parametrize(
    ("kind", "changed", "told"),
    [
        ("DeepSeek", {"kv_lora_rank": 16}, "multi-head latent attention (MLA) is not known - give another drafter"),
        (
            "Qwen 3.5",
            {"mtp_use_dedicated_embeddings": True},
            "expected the target's token embedding, not one of its own",
        ),
        ("Qwen 3.5", {"hidden_act": "gelu"}, "hidden_act: expected silu, got 'gelu'"),
        ("Qwen 3.5", {"architectures": ["Qwen3_5MoeForConditionalGeneration"]}, "Qwen3NextForCausalLM, got Qwen3_5Moe"),
        (
            "DeepSeek",
            {"architectures": ["GraniteForCausalLM"]},
            "Qwen3ForCausalLM, got GraniteForCausalLM - give another",
        ),
        ("DeepSeek", {"architectures": None}, "known in targets of LlamaForCausalLM, MistralForCausalLM, Qwen2"),
        (
            "DeepSeek",
            {"rope_scaling": {"rope_type": "longrope"}},
            "rope_type: expected one of default, linear, dynamic",
        ),
        (
            "DeepSeek",
            {"partial_rotary_factor": 0.25},
            "rotary embedding: expected a multiple of 16 values of a head, got 8",
        ),
        ("MiMo", {"intermediate_size": 100}, "mlp.down_proj.weight: expected shape [128, 100], got [128, 192]"),
        ("MiMo", {"num_attention_heads": 8}, "self_attn.o_proj.weight: expected shape [128, 256], got [128, 128]"),
    ],
)
def test_a_wrong_configuration_is_named(tmp_path, kind, changed, told):
    assert told in refusal(save_head(tmp_path, FAMILIES[kind], **changed))


def test_a_quantized_tensor_is_named(tmp_path):
    family = FAMILIES["DeepSeek"]
    state = random_head(family)
    name = f"{family.inner}mlp.up_proj.weight"
    told = refusal(save_head(tmp_path, family, state | {name: state[name].to(torch.float8_e4m3fn)}))
    assert "mlp.up_proj.weight: expected floats, got" in told


def test_a_cut_file_is_refused(tmp_path):
    folder = save_head(tmp_path, FAMILIES["MiMo"])
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(
        EdgedraftError, match=r"model.safetensors: expected [\d,]+ bytes, got [\d,]+ - download it again"
    ):
        declared_mtp(folder, "mine")


def test_a_configuration_that_is_missing_is_named(tmp_path):
    folder = save_head(tmp_path, FAMILIES["MiMo"])
    (folder / "config.json").write_text(json.dumps({}))
    assert "known in targets of MiMoForCausalLM, Qwen2ForCausalLM, got none" in refusal(folder)
