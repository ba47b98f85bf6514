"""EAGLE checkpoints of every trainer become one record; broken or foreign ones get a one-line error."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from edgedraft.exporter.graph.eagle.checkpoint import EAGLE, EAGLE3, EMBEDDING, HEAD, TargetShape
from edgedraft.exporter.models.eagle.fitting import description, fitted
from edgedraft.exporter.models.eagle.reading import read_eagle
from edgedraft.runtime.base.errors import EdgedraftError
from tests.plain_eagle import HEAD_SIZE, HIDDEN, KEPT, KINDS, TRAINERS, VOCAB, PlainEagle, random_state, save_checkpoint

TARGET = TargetShape(hidden=HIDDEN, layers=12, vocab_size=VOCAB)


def saved(folder, name, state=None, **config):
    trainer = TRAINERS[name]
    return save_checkpoint(folder, replace(trainer, config={**trainer.config, **config}), state)


def refusal(folder) -> str:
    with pytest.raises(EdgedraftError) as error:
        fitted(read_eagle(folder), TARGET)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", KINDS)
def test_every_trainers_checkpoint_is_read(tmp_path, name):
    trainer, state = TRAINERS[name], random_state(TRAINERS[name])
    found = read_eagle(saved(tmp_path / "drafter", name))
    layout = found.layout
    assert layout.kind == (EAGLE3 if trainer.eagle3 else EAGLE)
    assert (found.own_head, found.own_embedding) == (trainer.head, trainer.table)
    assert (found.draft_vocab_size, found.convention) == ((KEPT, "offset") if trainer.head else (VOCAB, None))
    rules = (layout.residual_normed, layout.head_normed, layout.feeds_back_normed, layout.tapped_layers)
    expected = (trainer.residual_normed, trainer.head_normed, trainer.feeds_back_normed, trainer.entering)
    assert rules == expected
    assert layout.feature_width == (3 if trainer.eagle3 else 1) * HIDDEN
    speeds = PlainEagle(tmp_path / "drafter", trainer, np.zeros(1), np.zeros(1)).speeds
    np.testing.assert_allclose(layout.rotary_speeds, speeds, rtol=1e-12)
    assert {name.removeprefix(trainer.prefix) for name in state} - {"d2t", "t2d"} == set(found.weights)
    for name_, tensor in state.items():
        if name_ not in ("d2t", "t2d"):
            array = found.weights[name_.removeprefix(trainer.prefix)]
            np.testing.assert_array_equal(array, tensor.float().numpy())
            assert array.dtype == np.float32


def test_the_default_taps_depend_on_the_target(tmp_path):
    found = read_eagle(saved(tmp_path, "SafeAILab EAGLE-3"))
    assert fitted(found, TARGET).layout.tapped_layers == (2, 6, 9)
    assert fitted(found, replace(TARGET, layers=28)).layout.tapped_layers == (2, 14, 25)


def test_rows_follow_a_map_in_order_of_frequency(tmp_path):
    """Offsets may be negative; the head's rows are sorted by the target's ids."""
    state = random_state(TRAINERS["SpecForge"])
    ids = torch.randperm(VOCAB)[:KEPT]
    state |= {"d2t": ids - torch.arange(KEPT), "t2d": torch.zeros(VOCAB).index_fill(0, ids, 1).bool()}
    found = read_eagle(saved(tmp_path, "SpecForge", state))
    np.testing.assert_array_equal(found.target_ids, ids.sort().values)
    np.testing.assert_array_equal(found.weights[HEAD], state["lm_head.weight"][ids.argsort()])


def test_a_map_of_ids_is_read_as_such(tmp_path):
    state = random_state(TRAINERS["SpecForge"])
    ids = state["t2d"].nonzero()[:, 0]
    found = read_eagle(saved(tmp_path, "SpecForge", state | {"d2t": ids}))
    assert found.convention == "absolute"
    np.testing.assert_array_equal(found.target_ids, ids)


def test_a_map_beside_a_whole_head_is_an_empty_buffer(tmp_path):
    state = random_state(TRAINERS["SpecForge"]) | {"lm_head.weight": torch.randn(VOCAB, HIDDEN)}
    state |= {"d2t": torch.zeros(VOCAB, dtype=torch.int64), "t2d": torch.zeros(VOCAB, dtype=torch.bool)}
    found = read_eagle(saved(tmp_path, "SpecForge", state, draft_vocab_size=VOCAB))
    assert (found.target_ids, found.draft_vocab_size, found.own_head) == (None, VOCAB, True)


def test_a_map_without_a_head_picks_rows_of_the_targets(tmp_path):
    state = random_state(TRAINERS["SpecForge"])
    ids = state["t2d"].nonzero()[:, 0]
    del state["lm_head.weight"]
    found = read_eagle(saved(tmp_path, "SpecForge", state))
    assert not found.own_head
    np.testing.assert_array_equal(found.target_ids, ids)


def test_a_tied_head_is_the_stored_table(tmp_path):
    state = random_state(TRAINERS["SpecForge, EAGLE-3.1"]) | {"embed_tokens.weight": torch.randn(VOCAB, HIDDEN)}
    found = read_eagle(saved(tmp_path, "SpecForge, EAGLE-3.1", state, tie_word_embeddings=True))
    np.testing.assert_array_equal(found.weights[HEAD], found.weights[EMBEDDING])


def test_both_places_of_the_rotary_base_are_read(tmp_path):
    config = {"rope_parameters": {"rope_type": "linear", "rope_theta": 3e4, "factor": 4.0}, "rope_theta": None}
    found = read_eagle(saved(tmp_path, "SpecForge", **config))
    np.testing.assert_allclose(found.layout.rotary_speeds, 3e4 ** (-np.arange(0, HEAD_SIZE, 2) / HEAD_SIZE) / 4)


def test_what_was_read_is_said_in_a_sentence(tmp_path):
    borrowed = read_eagle(saved(tmp_path / "mine", "EAGLE-2, Qwen"))
    assert description(borrowed) == (
        "eagle drafter mine: reads the state behind the final norm; "
        "the target's head for 1024 of 1024 tokens; the target's table"
    )
    own = fitted(read_eagle(saved(tmp_path / "other", "SafeAILab EAGLE-3")), TARGET)
    assert description(own) == (
        "eagle3 drafter other: reads the states that enter layers 2, 6, 9; "
        "its own head for 256 of 1024 tokens (offset map); the target's table"
    )


# --- one line for each fault -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ({"hidden": 64}, "made for a target with states of 128, got 64"),
        ({"vocab_size": 1000}, "made for a target with 1024 tokens, got 1000"),
        ({"layers": 1}, "tapped layers must lie in 0..0, got 0, 1, 1"),
    ],
)
def test_another_target_is_refused(tmp_path, target, told):
    with pytest.raises(EdgedraftError) as error:
        fitted(read_eagle(saved(tmp_path / "mine", "SpecForge")), replace(TARGET, **target))
    assert str(error.value) == f"drafter mine: {told} - choose the target that it was trained for"


def test_a_narrower_layer_cannot_borrow(tmp_path):
    found = read_eagle(saved(tmp_path / "mine", "SpecForge"))
    wide = replace(found, layout=replace(found.layout, target_hidden=2 * HIDDEN))
    with pytest.raises(EdgedraftError, match="a table or head of the target needs a drafter as wide, 256, got 128"):
        fitted(wide, replace(TARGET, hidden=2 * HIDDEN))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("lost", ["fc", "self_attn.k_proj", "mlp.down_proj", "post_attention_layernorm"])
def test_a_missing_tensor_is_named(tmp_path, name, lost):
    trainer, state = TRAINERS[name], random_state(TRAINERS[name])
    del state[f"{'' if lost == 'fc' else trainer.prefix}{lost}.weight"]
    told = f"{tmp_path}: missing tensors, got {lost}.weight - give an EAGLE checkpoint as trained"
    assert refusal(saved(tmp_path, name, state)) == told


def test_a_norm_that_the_configuration_asks_for_is_missed(tmp_path):
    told = "missing tensors, got fc_norm.0.weight, fc_norm.1.weight, fc_norm.2.weight - "
    assert told in refusal(saved(tmp_path, "SpecForge", fc_norm=True))


def test_norms_that_the_configuration_denies_are_not_known(tmp_path):
    told = "tensors that no known EAGLE layer has, got fc_norm.0.weight, fc_norm.1.weight, fc_norm.2.weight"
    assert told in refusal(saved(tmp_path, "SpecForge, EAGLE-3.1", fc_norm=False))


def test_a_missing_map_is_never_made_up(tmp_path):
    state = random_state(TRAINERS["SpecForge"])
    for name in ("d2t", "t2d"):
        del state[name]
    told = "missing tensor d2t for a head of 256 of 1024 tokens - a missing map is never taken as ids 0..K-1"
    assert refusal(saved(tmp_path, "SpecForge", state)) == f"{tmp_path}: {told}"
    del state["lm_head.weight"]
    assert refusal(saved(tmp_path, "SpecForge", state)) == f"{tmp_path}: {told}"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"midlayer.self_attn.q_proj.weight": torch.ones(128, 128)}, "expected shape [128, 256], got [128, 128]"),
        ({"fc.weight": torch.ones(128, 256)}, "fc.weight: expected shape [128, 384], got [128, 256]"),
        ({"lm_head.weight": torch.ones(255, 128)}, "lm_head.weight: expected shape [256, 128], got [255, 128]"),
        ({"norm.weight": torch.ones(128).int()}, "norm.weight: expected floats, got int32"),
        ({"midlayer.self_attn.q_norm.weight": torch.ones(32)}, "missing tensors, got self_attn.k_norm.weight"),
        ({"midlayer.self_attn.qk_norm.weight": torch.ones(32)}, "known EAGLE layer has, got self_attn.qk_norm.weight"),
        ({"layers.1.mlp.up_proj.weight": torch.ones(2)}, "no known EAGLE layer has, got layers.1.mlp.up_proj.weight"),
        ({"d2t": torch.zeros(256, dtype=torch.int64)}, "neither reading is a map"),
        ({"d2t": torch.zeros(255, dtype=torch.int64)}, "d2t: expected one number for each of 256 rows, got 255"),
        ({"t2d": torch.ones(1000, dtype=torch.bool)}, "t2d: expected 1024 marks, got 1000"),
    ],
)
def test_a_wrong_tensor_is_named(tmp_path, changed, told):
    assert told in refusal(saved(tmp_path, "SpecForge", random_state(TRAINERS["SpecForge"]) | changed))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"num_hidden_layers": 2}, "num_hidden_layers: only drafters of one layer are known, got 2"),
        ({"hidden_act": "gelu"}, "hidden_act: expected silu, got 'gelu'"),
        ({"hidden_size": "wide"}, "hidden_size: expected a whole number of 1 or more, got 'wide'"),
        ({"num_key_value_heads": 3}, "num_key_value_heads: expected a divisor of 4, got 3"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps: expected a number above 0, got 'small'"),
        ({"rope_scaling": {"type": "yarn"}}, "factor: expected a number above 0, got None"),
        (
            {"rope_scaling": {"type": "longrope"}},
            "rope_type: expected one of default, linear, dynamic, llama3, yarn, got 'longrope'",
        ),
        ({"rope_scaling": {"rope_type": "llama3"}}, "factor: expected a number above 0, got None"),
        ({"rope_scaling": 3}, "rope_scaling: expected an object, got 3"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor: expected 1, got 0.5"),
        ({"fc_norm": "yes"}, "fc_norm: expected true or false, got 'yes'"),
        ({"eagle_config": {"use_aux_hidden_state": False}}, "drafters without tapped layers are not known"),
        ({"eagle_config": {"eagle_aux_hidden_state_layer_ids": [1, "2"]}}, "layer_ids: expected a list of layers, got"),
        ({"vocab_size": 1023}, "t2d: expected 1023 marks, got 1024"),
    ],
)
def test_a_wrong_configuration_is_named(tmp_path, changed, told):
    assert told in refusal(saved(tmp_path, "SpecForge", **changed))


def test_tapped_layers_behind_the_targets_last_are_refused(tmp_path):
    taps = {"eagle_config": {"eagle_aux_hidden_state_layer_ids": [1, 5, 11]}}
    assert "tapped layers must lie in 0..11, got 2, 6, 12" in refusal(saved(tmp_path, "SpecForge", **taps))


def test_a_folder_without_weights_or_configuration_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert refusal(tmp_path) == (
        f"{tmp_path}: neither .safetensors nor .bin - give the drafter's folder, with config.json and weights"
    )
    folder = saved(tmp_path / "drafter", "SpecForge")
    (folder / "config.json").unlink()
    assert refusal(folder) == f"{folder}/config.json: no such file"
    (folder / "config.json").write_text(json.dumps([]))
    assert "expected the configuration of an EAGLE-3 drafter, got list" in refusal(folder)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_a_torch_file_may_hold_tensors_alone(tmp_path):
    folder, crater = saved(tmp_path / "drafter", "SafeAILab EAGLE-3"), tmp_path / "crater"
    torch.save({"fc.weight": Bomb(crater)}, folder / "pytorch_model.bin")
    assert "holds pickled code or objects, not only data" in refusal(folder)
    assert not crater.exists()
    torch.save({"fc.weight": [1, 2]}, folder / "pytorch_model.bin")
    assert "expected a model's tensors by name, got dict" in refusal(folder)


def test_a_cut_file_is_refused(tmp_path):
    folder = saved(tmp_path, "SpecForge")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert "not a safetensors file edgedraft can read" in refusal(folder)
