"""A model's configuration decides, before weights are read, whether it is converted; refusals name the family."""

import json
import struct
from pathlib import Path

import pytest

from edgedraft.exporter.models.admission import require_readable_graph, require_supported
from edgedraft.exporter.models.families import REFUSED, TAKEN, by_architecture, by_gguf
from edgedraft.exporter.models.pair import PairRequest, prepare_pair
from edgedraft.exporter.models.sources import ONNX, ModelSource, resolve
from edgedraft.exporter.models.via_optimum import BUILDER, OPTIMUM
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.onnx.session import SessionSettings
from tests.plain_llama import Style, save_plain_llama

NAMES = "Llama, Mistral, Mistral 3, Qwen 2, Qwen 3, Qwen 3.5, LFM2, Gemma, Gemma 2, Gemma 3, Phi 2, Phi 3, "
NAMES += "Granite, Granite 4, SmolLM 3, OLMo, Nemotron, GPT-OSS, Ernie 4.5, HunYuan"


def folder(path: Path, **config: object) -> ModelSource:
    """A folder with invalid weights: reading them fails."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    (path / "model.safetensors").write_text("not weights")
    return resolve(str(path), path)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf_source(path: Path, architecture: str | None, before: bytes = b"", count: int = 0) -> ModelSource:
    """A GGUF file with only a header; ``before`` are ``count`` entries that precede the architecture."""
    stated = b"" if architecture is None else text("general.architecture") + struct.pack("<I", 8) + text(architecture)
    count += architecture is not None
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, count) + before + stated)
    return resolve(str(path), path.parent)


def refusal(source: ModelSource, backend: str = BUILDER) -> str:
    with pytest.raises(EdgedraftError) as error:
        require_supported(source, backend)
    return str(error.value)


# --- folders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for family in TAKEN for name in family.architectures])
def test_a_family_that_was_tried_passes(tmp_path, name):
    require_supported(folder(tmp_path / "model", architectures=[name]), BUILDER)


@pytest.mark.parametrize("name", [name for family in REFUSED for name in family.architectures])
def test_every_other_known_family_is_refused_in_one_line_that_names_it(tmp_path, name):
    source = folder(tmp_path / "model", architectures=[name])
    family = by_architecture(name)
    said = refusal(source)
    assert said.startswith(f"{source.path}: the family {family.name} ({name}) is not supported: {family.reason}; ")
    assert f"supported: {NAMES} - " in said
    assert said.endswith("--export-backend optimum (or --via optimum)") == family.optimum
    assert "\n" not in said


def test_an_architecture_that_nobody_knows_is_refused_by_its_own_name(tmp_path):
    source = folder(tmp_path / "model", architectures=["FancyForCausalLM"])
    said = refusal(source)
    assert said.startswith(f"{source.path}: the architecture FancyForCausalLM is not supported: it is not known; ")
    assert said.endswith("- choose a model of a supported family")


@pytest.mark.parametrize("config", [{}, {"architectures": []}, {"architectures": None}, {"architectures": "Llama"}])
def test_a_configuration_without_architectures_is_refused(tmp_path, config):
    source = folder(tmp_path / "model", **config)
    said = f"{source.path / 'config.json'}: no architectures - give the model's own configuration"
    assert refusal(source) == said


def test_a_configuration_that_is_no_object_is_refused(tmp_path):
    source = folder(tmp_path / "model")
    (source.path / "config.json").write_text("[1]")
    assert refusal(source) == f"{source.path / 'config.json'}: expected an object, got list"


@pytest.mark.parametrize("method", ["awq", "gptq", "bitsandbytes", "compressed-tensors"])
def test_weights_that_another_tool_quantized_are_refused(tmp_path, method):
    packed = {"quant_method": method}
    source = folder(tmp_path / "model", architectures=["LlamaForCausalLM"], quantization_config=packed)
    assert f"expected float weights, not those that {method} has quantized" in refusal(source)


@pytest.mark.parametrize(
    ("more", "has"),
    [
        ({"layer_types": ["mamba", "attention"]}, "mamba layers"),
        ({"num_local_experts": 8, "layer_types": ["attention"]}, "8 experts"),
        ({"num_local_experts": 8, "layer_types": ["mamba"]}, "8 experts and mamba layers"),
    ],
)
def test_of_granite_4_the_dense_members_are_taken(tmp_path, more, has):
    name = "GraniteMoeHybridForCausalLM"
    source = folder(tmp_path / "model", architectures=[name], **more)
    assert f"its dense members alone are converted, and this one has {has}; " in refusal(source)
    dense = {"num_local_experts": 0, "layer_types": ["attention"]}
    require_supported(folder(tmp_path / "dense", architectures=[name], **dense), BUILDER)


@pytest.mark.parametrize(
    "name",
    [
        "Qwen3_5ForCausalLM",
        "Qwen3_5MoeForConditionalGeneration",
        "Qwen3NextForCausalLM",
        "Lfm2MoeForCausalLM",
        "Lfm2VlForConditionalGeneration",
        "MambaForCausalLM",
        "Mamba2ForCausalLM",
        "FalconMambaForCausalLM",
        "RwkvForCausalLM",
        "FalconH1ForCausalLM",
        "NemotronHForCausalLM",
        "JambaForCausalLM",
        "Zamba2ForCausalLM",
        "RecurrentGemmaForCausalLM",
        "BambaForCausalLM",
        "KimiLinearForCausalLM",
        "Lfm3ForCausalLM",
        "Qwen4ExpForCausalLM",
        "OlmoHybridForCausalLM",
        "BailingHybridForCausalLM",
        "MiniMaxForCausalLM",
        "xLSTMForCausalLM",
    ],
)
def test_recurrent_families_without_kernels_are_refused_by_name(tmp_path, name):
    """The folder holds config.json alone: no weight is read."""
    said = refusal(folder(tmp_path / "model", architectures=[name]))
    assert f"({name}) is not supported: " in said
    assert said.endswith("- choose a model of a supported family")


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("Qwen3_5ForConditionalGeneration", {"text_config": {"layer_types": ["linear_attention", "full_attention"]}}),
        ("Lfm2ForCausalLM", {"layer_types": ["conv", "full_attention"]}),
    ],
)
def test_recurrent_families_with_kernels_are_taken(tmp_path, name, layers):
    require_supported(folder(tmp_path / "model", architectures=[name]), BUILDER)
    require_supported(folder(tmp_path / "with layers", architectures=[name], **layers), BUILDER)


@pytest.mark.parametrize(
    ("name", "config", "reason"),
    [
        (
            "Qwen3_5ForConditionalGeneration",
            {"text_config": {"layer_types": ["linear_attention", "mamba"]}},
            "and full_attention layers alone are converted, and this one has mamba layers",
        ),
        (
            "Lfm2ForCausalLM",
            {"layer_types": ["conv", "sliding_attention"]},
            "its members of conv and full_attention layers alone are converted, and this one has sliding_attention"
            " layers",
        ),
        (
            "Qwen3_5ForConditionalGeneration",
            {"text_config": {"num_experts": 64}},
            "its dense members alone are converted, and this one has 64 experts",
        ),
        ("Lfm2ForCausalLM", {"layer_types": "conv"}, "and this one has conv layers"),
    ],
)
def test_layers_of_another_kind_are_refused_by_name(tmp_path, name, config, reason):
    said = refusal(folder(tmp_path / "model", architectures=[name], **config))
    assert f"({name}) is not supported: " in said and f"{reason}; supported: " in said


@pytest.mark.parametrize(
    "name", ["mamba2", "falcon-h1", "qwen3next", "qwen35", "qwen35moe", "lfm2", "lfm2moe", "granitehybrid", "jamba"]
)
def test_recurrent_gguf_files_are_refused_by_their_family(tmp_path, name):
    """The file ends behind its header: no tensor is read."""
    said = refusal(gguf_source(tmp_path / "model.gguf", name))
    assert said.startswith(f"{tmp_path / 'model.gguf'}: the family ") and f" ({name}) is not supported: " in said


def test_a_pair_is_refused_before_anything_is_converted(tmp_path):
    """Also if only the drafter is refused: the target's weights are not read either."""
    target = folder(tmp_path / "target", architectures=["LlamaForCausalLM"])
    drafter = folder(tmp_path / "drafter", architectures=["MambaForCausalLM"])
    request = PairRequest(
        target=str(target.path),
        drafter=str(drafter.path),
        target_precision="fp32",
        drafter_precision="fp32",
        settings=SessionSettings(threads=2),
    )
    with pytest.raises(EdgedraftError, match=r"the family Mamba \(MambaForCausalLM\) is not supported: no exporter"):
        prepare_pair(request, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


# --- Optimum ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["GPT2LMHeadModel", "Olmo2ForCausalLM", "LlamaForCausalLM", "FalconForCausalLM"])
def test_optimum_takes_what_it_exports(tmp_path, name):
    require_supported(folder(tmp_path / "model", architectures=[name]), OPTIMUM)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Lfm2ForCausalLM", "Optimum cannot export it"),
        ("MambaForCausalLM", "no exporter here writes its recurrent layers for the CPU"),
        ("Ernie4_5ForCausalLM", "Optimum cannot export it"),
    ],
)
def test_optimum_does_not_take_the_others(tmp_path, name, reason):
    said = refusal(folder(tmp_path / "model", architectures=[name]), OPTIMUM)
    assert f"({name}) is not supported: {reason}; " in said
    assert said.endswith("- choose a model of a supported family")


# --- GGUF ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for family in TAKEN for name in family.gguf])
def test_a_gguf_file_of_a_family_that_was_tried_passes(tmp_path, name):
    require_supported(gguf_source(tmp_path / "model.gguf", name), BUILDER)


@pytest.mark.parametrize("name", [name for family in REFUSED for name in family.gguf])
def test_other_gguf_files_are_refused_by_their_architecture(tmp_path, name):
    said = refusal(gguf_source(tmp_path / "model.gguf", name))
    assert f"the family {by_gguf(name).name} ({name}) is not supported: " in said


def test_a_gguf_architecture_that_transformers_cannot_unpack_is_refused_by_its_name(tmp_path):
    said = refusal(gguf_source(tmp_path / "model.gguf", "granite"))
    assert "the GGUF architecture granite is not supported: transformers cannot unpack such files; " in said


def test_the_architecture_may_stand_behind_other_entries(tmp_path):
    entries = [
        text("general.name") + struct.pack("<I", 8) + text("a name"),
        text("general.size") + struct.pack("<II", 4, 7),
        text("general.big") + struct.pack("<IQ", 10, 7),
        text("some.numbers") + struct.pack("<IIQ3f", 9, 6, 3, 1, 2, 3),
        text("some.texts") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b" * 100_000),
        text("some.lists") + struct.pack("<IIQ", 9, 9, 1) + struct.pack("<IQ2b", 1, 2, 1, 2),
    ]
    source = gguf_source(tmp_path / "model.gguf", "lfm2", b"".join(entries), len(entries))
    assert "the family LFM2 as GGUF (lfm2) is not supported" in refusal(source)


@pytest.mark.parametrize("length", [4, 12, 30, 60])
def test_a_gguf_file_that_is_cut_short_is_refused(tmp_path, length):
    source = gguf_source(tmp_path / "model.gguf", "llama")
    source.path.write_bytes(source.path.read_bytes()[:length])
    got = "the file ends within its header"
    assert refusal(source) == f"{source.path}: not a GGUF file that can be read, got {got} - download it again"


def test_a_gguf_file_without_an_architecture_is_refused(tmp_path):
    source = gguf_source(tmp_path / "model.gguf", None)
    expected = "the GGUF file states no general.architecture - give a file of a whole model"
    assert refusal(source) == f"{source.path}: {expected}"


def test_of_a_graph_the_inputs_and_outputs_are_looked_at(tmp_path, tiny_pair):
    save_plain_llama(tiny_pair.target, tmp_path / "model.onnx")
    source = ModelSource(kind=ONNX, path=tmp_path, name="n", base_model="b", license="l", identity="i")
    require_supported(source, BUILDER)
    require_readable_graph(source)
    save_plain_llama(tiny_pair.target, tmp_path / "model.onnx", Style(past="past.{layer}.conv.{kind}"))
    with pytest.raises(EdgedraftError, match=r"model\.onnx: input past\.0\.conv\.key: not known; a decoder takes "):
        require_readable_graph(source)


def test_no_name_belongs_to_two_families():
    for names in ("architectures", "gguf"):
        every = [name for family in (*TAKEN, *REFUSED) for name in getattr(family, names)]
        assert len(every) == len(set(every))
