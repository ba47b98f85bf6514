"""A tensor that is missing, misshapen or of another architecture is an error and never initialized randomly."""

from pathlib import Path

import pytest

from edgedraft.exporter.graph.whole_weights import loading_fault, whole_weights

SHAPE = {
    "vocab_size": 48,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
HEAD, TABLE, GATE = "lm_head.weight", "model.embed_tokens.weight", "model.layers.1.mlp.gate_proj.weight"


def checkpoint(folder: Path, kind: str = "llama", drop: tuple[str, ...] = (), **config: object) -> Path:
    """A tiny model as saved, without the tensors of ``drop``."""
    from safetensors.torch import load_file, save_file
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    made = CONFIG_MAPPING[kind](**(SHAPE | config))
    AutoModelForCausalLM.from_config(made).save_pretrained(folder)
    held = load_file(folder / "model.safetensors")
    save_file({name: value for name, value in held.items() if name not in drop}, folder / "model.safetensors")
    return folder


def load(folder: Path, **config: object):
    """Load ``folder`` as the workers do, with a configuration that may contradict the weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    made = AutoConfig.from_pretrained(folder)
    for name, value in config.items():
        setattr(made, name, value)
    with whole_weights():
        return AutoModelForCausalLM.from_pretrained(folder, config=made)


def fault(folder: Path, **config: object) -> str:
    with pytest.raises(SystemExit) as error:
        load(folder, **config)
    return str(error.value)


@pytest.mark.parametrize("tied", [True, False])
def test_a_whole_checkpoint_loads(tmp_path, tied):
    from transformers import AutoModelForCausalLM

    folder = checkpoint(tmp_path, tie_word_embeddings=tied)
    loaded = load(folder)
    assert loaded.config.tie_word_embeddings is tied
    assert not isinstance(AutoModelForCausalLM.from_pretrained(folder), tuple)  # transformers is as it was


def test_a_tensor_that_is_missing_is_named(tmp_path):
    assert fault(checkpoint(tmp_path, drop=(GATE,))) == f"1 tensor is missing from the weights: {GATE}"


def test_many_tensors_are_counted(tmp_path):
    dropped = tuple(f"model.layers.1.self_attn.{part}_proj.weight" for part in "kqvo")
    shown = "model.layers.1.self_attn.k_proj.weight, model.layers.1.self_attn.o_proj.weight"
    expected = f"4 tensors are missing from the weights: {shown}, model.layers.1.self_attn.q_proj.weight and 1 more"
    assert fault(checkpoint(tmp_path, drop=dropped)) == expected


def test_a_head_that_is_not_tied_must_be_there(tmp_path):
    assert HEAD in fault(checkpoint(tmp_path, drop=(HEAD,), tie_word_embeddings=False))


def test_the_one_matrix_of_a_tied_pair_must_be_there(tmp_path):
    assert "missing" in fault(checkpoint(tmp_path, drop=(TABLE, HEAD), tie_word_embeddings=True))


def test_a_layer_more_than_there_is(tmp_path):
    assert "missing from the weights: model.layers.2." in fault(checkpoint(tmp_path), num_hidden_layers=3)


def test_a_layer_less_than_there_is(tmp_path):
    assert "of another architecture than config.json says" in fault(checkpoint(tmp_path), num_hidden_layers=1)


def test_another_shape(tmp_path):
    found = fault(checkpoint(tmp_path), intermediate_size=24)
    assert found.startswith("6 tensors are of another shape than config.json says: model.layers.0.mlp.down_proj.weight")


@pytest.mark.parametrize(("kind", "as_kind"), [("qwen3", "llama"), ("qwen2", "llama"), ("gemma2", "llama")])
def test_weights_of_another_architecture(tmp_path, kind, as_kind):
    import json

    folder = checkpoint(tmp_path, kind, head_dim=8)
    config = json.loads((folder / "config.json").read_text())
    name = "LlamaForCausalLM"
    (folder / "config.json").write_text(json.dumps({**config, "model_type": as_kind, "architectures": [name]}))
    assert "of another architecture than config.json says" in fault(folder)


def info(**lists: object) -> dict[str, object]:
    return {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set(), "error_msgs": [], **lists}


@pytest.mark.parametrize(
    "name",
    [
        "vision_tower.encoder.layers.0.mlp.weight",
        "multi_modal_projector.linear.weight",
        "mtp.layers.0.mlp.gate_proj.weight",
        "model.mtp_layers.0.self_attn.q_proj.weight",
        "score.weight",
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "transformer.h.0.attn.masked_bias",
    ],
)
def test_what_lies_beside_the_decoder_is_passed_over(name):
    assert loading_fault(info(unexpected_keys={name})) is None


@pytest.mark.parametrize("name", ["lm_head.bias", "model.layers.0.self_attn.q_norm.weight", "model.norm.bias"])
def test_what_the_decoder_would_need_is_not(name):
    assert loading_fault(info(unexpected_keys={name})) is not None


def test_a_layer_behind_the_decoder_is_passed_over_only_if_it_predicts_a_token_further():
    layer = {f"model.layers.4.{name}.weight" for name in ("self_attn.q_proj", "enorm", "shared_head.head")}
    ahead = layer | {"model.layers.4.eh_proj.weight"}
    assert loading_fault(info(unexpected_keys=ahead)) is None
    assert "3 tensors are of another architecture" in str(loading_fault(info(unexpected_keys=layer)))
    other = ahead | {"model.layers.40.mlp.up_proj.weight"}
    assert "1 tensor is of another architecture" in str(loading_fault(info(unexpected_keys=other)))


def test_other_errors_are_one_line():
    assert loading_fault(info(error_msgs=["size\nof it"])) == "the weights cannot be loaded: size"
