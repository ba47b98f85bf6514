"""The model families: which are converted, which forms of them are tested, which are refused, and why."""

from dataclasses import dataclass

from edgedraft.runtime.base.errors import EdgedraftError

_NO_KERNEL = "no exporter here writes its recurrent layers for the CPU"
_NOT_UNPACKED = "transformers cannot unpack such files; its Hugging Face folder is converted if it is dense"
_EXPERTS = "its experts are not converted for the CPU"
_TWO_PARTS = "it has an encoder and a decoder; a decoder alone is needed"
_UNKNOWN_TO_BUILDER = "onnxruntime-genai's model builder does not know it"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFamily:
    """A family of models, recognised by ``architectures`` (config.json) or ``gguf`` (``general.architecture``).

    ``tried`` names the forms that tests convert and compare with transformers; ``models`` names examples. A family with
    a ``reason`` is refused. ``optimum`` tells whether Optimum can export it.
    """

    name: str
    architectures: tuple[str, ...]
    gguf: tuple[str, ...] = ()
    models: str = ""
    tried: tuple[str, ...] = ()
    reason: str = ""
    optimum: bool = False


TAKEN = (
    ModelFamily(
        name="Llama",
        architectures=("LlamaForCausalLM",),
        gguf=("llama",),
        models="Llama 1 to 3.3, SmolLM 1 and 2, TinyLlama",
        tried=("plain", "tied", "linear rope", "YaRN", "llama3 rope"),
        optimum=True,
    ),
    ModelFamily(
        name="Mistral",
        architectures=("MistralForCausalLM",),
        models="Mistral 7B, Mistral Nemo",
        tried=("plain", "windows"),
        optimum=True,
    ),
    ModelFamily(
        name="Mistral 3",
        architectures=("Mistral3ForConditionalGeneration",),
        models="Mistral Small 3, Ministral 3 (the text part)",
        tried=("plain", "Ministral"),
    ),
    ModelFamily(
        name="Qwen 2",
        architectures=("Qwen2ForCausalLM",),
        gguf=("qwen2",),
        models="Qwen 2 and 2.5, Qwen2.5-Coder, DeepSeek-R1-Distill-Qwen",
        tried=("plain", "tied", "windows", "YaRN"),
        optimum=True,
    ),
    ModelFamily(
        name="Qwen 3",
        architectures=("Qwen3ForCausalLM",),
        gguf=("qwen3",),
        models="Qwen 3",
        tried=("plain",),
        optimum=True,
    ),
    ModelFamily(
        name="Qwen 3.5",
        architectures=("Qwen3_5ForConditionalGeneration",),
        models="Qwen 3.5, dense (the text part; its MTP head is a drafter)",
        tried=("recurrent",),
    ),
    ModelFamily(name="LFM2", architectures=("Lfm2ForCausalLM",), models="LFM2, dense", tried=("recurrent",)),
    ModelFamily(name="Gemma", architectures=("GemmaForCausalLM",), models="Gemma 1", tried=("plain",), optimum=True),
    ModelFamily(
        name="Gemma 2",
        architectures=("Gemma2ForCausalLM",),
        gguf=("gemma2",),
        models="Gemma 2",
        tried=("windows",),
        optimum=True,
    ),
    ModelFamily(
        name="Gemma 3",
        architectures=("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"),
        gguf=("gemma3",),
        models="Gemma 3 (of those that see, the text part)",
        tried=("windows", "linear rope", "text part"),
        optimum=True,
    ),
    ModelFamily(
        name="Phi 2", architectures=("PhiForCausalLM",), models="Phi 1, 1.5 and 2", tried=("plain",), optimum=True
    ),
    ModelFamily(
        name="Phi 3",
        architectures=("Phi3ForCausalLM",),
        gguf=("phi3",),
        models="Phi 3, Phi 3.5 mini, Phi 4 and 4 mini",
        tried=("plain", "windows", "longrope"),
        optimum=True,
    ),
    ModelFamily(
        name="Granite", architectures=("GraniteForCausalLM",), models="Granite 3", tried=("plain",), optimum=True
    ),
    ModelFamily(
        name="Granite 4",
        architectures=("GraniteMoeHybridForCausalLM",),
        models="Granite 4 dense (350m, 1b)",
        tried=("plain", "NoPE"),
    ),
    ModelFamily(
        name="SmolLM 3",
        architectures=("SmolLM3ForCausalLM",),
        models="SmolLM 3",
        tried=("plain", "NoPE"),
        optimum=True,
    ),
    ModelFamily(name="OLMo", architectures=("OlmoForCausalLM",), models="OLMo 1", tried=("plain",), optimum=True),
    ModelFamily(
        name="Nemotron",
        architectures=("NemotronForCausalLM",),
        gguf=("nemotron",),
        models="Nemotron 4, Minitron",
        tried=("plain",),
        optimum=True,
    ),
    ModelFamily(
        name="GPT-OSS",
        architectures=("GptOssForCausalLM",),
        gguf=("gpt-oss",),
        models="gpt-oss",
        tried=("plain",),
    ),
    ModelFamily(name="Ernie 4.5", architectures=("Ernie4_5ForCausalLM",), models="Ernie 4.5 0.3B", tried=("plain",)),
    ModelFamily(
        name="HunYuan",
        architectures=("HunYuanDenseV1ForCausalLM",),
        models="HunYuan 0.5B to 7B",
        tried=("plain",),
    ),
)
"""The families that onnxruntime-genai's model builder converts, with every form compared with transformers."""


def _refused(name: str, reason: str, *architectures: str, gguf: tuple[str, ...] = ()) -> ModelFamily:
    return ModelFamily(name=name, architectures=architectures, gguf=gguf, reason=reason)


def _for_optimum(name: str, *architectures: str, gguf: tuple[str, ...] = ()) -> ModelFamily:
    return ModelFamily(name=name, architectures=architectures, gguf=gguf, reason=_UNKNOWN_TO_BUILDER, optimum=True)


REFUSED = (
    _for_optimum("OLMo 2", "Olmo2ForCausalLM"),
    _for_optimum("Falcon", "FalconForCausalLM", gguf=("falcon",)),
    _for_optimum("GPT-2", "GPT2LMHeadModel", gguf=("gpt2",)),
    _for_optimum("GPT-Neo", "GPTNeoForCausalLM"),
    _for_optimum("GPT-NeoX", "GPTNeoXForCausalLM"),
    _for_optimum("GPT-J", "GPTJForCausalLM"),
    _for_optimum("CodeGen", "CodeGenForCausalLM"),
    _for_optimum("Bloom", "BloomForCausalLM", gguf=("bloom",)),
    _for_optimum("OPT", "OPTForCausalLM"),
    _for_optimum("MPT", "MptForCausalLM"),
    _for_optimum("StableLM", "StableLmForCausalLM", gguf=("stablelm",)),
    _for_optimum("Cohere", "CohereForCausalLM"),
    _for_optimum("GLM", "GlmForCausalLM"),
    _for_optimum("Helium", "HeliumForCausalLM"),
    _for_optimum("Arcee", "ArceeForCausalLM"),
    _refused("OLMo 3", _UNKNOWN_TO_BUILDER, "Olmo3ForCausalLM"),
    _refused("Ministral", _UNKNOWN_TO_BUILDER, "MinistralForCausalLM", "Ministral3ForCausalLM"),
    _refused("StarCoder 2", _UNKNOWN_TO_BUILDER, "Starcoder2ForCausalLM", gguf=("starcoder2",)),
    _refused("EXAONE", _UNKNOWN_TO_BUILDER, "Exaone4ForCausalLM", "ExaoneForCausalLM"),
    _refused("Seed-OSS", _UNKNOWN_TO_BUILDER, "SeedOssForCausalLM"),
    _refused("GLM 4", _UNKNOWN_TO_BUILDER, "Glm4ForCausalLM"),
    _refused("Gemma 3n", _UNKNOWN_TO_BUILDER, "Gemma3nForConditionalGeneration", "Gemma3nForCausalLM"),
    _refused(
        "Gemma 4",
        "it was not compared with transformers",
        "Gemma4ForConditionalGeneration",
        "Gemma4UnifiedForConditionalGeneration",
        "Gemma4ForCausalLM",
        gguf=("gemma4",),
    ),
    _refused("Qwen 3.5 without its vision part", _UNKNOWN_TO_BUILDER, "Qwen3_5ForCausalLM"),
    _refused("Qwen 3.5 as GGUF", _NOT_UNPACKED, gguf=("qwen35",)),
    _refused(
        "Qwen 3.5 MoE", _EXPERTS, "Qwen3_5MoeForConditionalGeneration", "Qwen3_5MoeForCausalLM", gguf=("qwen35moe",)
    ),
    _refused("Qwen 3 Next", _NO_KERNEL, "Qwen3NextForCausalLM", gguf=("qwen3next",)),
    _refused("Qwen 4 Exp", _NO_KERNEL, "Qwen4ExpForCausalLM", "Qwen4ExpForConditionalGeneration"),
    _refused("LFM2 MoE", _EXPERTS, "Lfm2MoeForCausalLM", gguf=("lfm2moe",)),
    _refused("LFM3", _NO_KERNEL, "Lfm3ForCausalLM"),
    _refused("LFM2 that see", "it was not compared with transformers", "Lfm2VlForConditionalGeneration"),
    _refused("LFM2 as GGUF", "what transformers unpacks was not compared with its source", gguf=("lfm2",)),
    _refused("Granite 4 as GGUF", _NOT_UNPACKED, gguf=("granitehybrid",)),
    _refused(
        "Mamba",
        _NO_KERNEL,
        "MambaForCausalLM",
        "Mamba2ForCausalLM",
        "FalconMambaForCausalLM",
        gguf=("mamba", "mamba2"),
    ),
    _refused("RWKV", _NO_KERNEL, "RwkvForCausalLM", gguf=("rwkv6", "rwkv7", "rwkv6qwen2", "arwkv7")),
    _refused("xLSTM", _NO_KERNEL, "xLSTMForCausalLM"),
    _refused("Bamba", _NO_KERNEL, "BambaForCausalLM"),
    _refused("Bailing hybrid", _NO_KERNEL, "BailingHybridForCausalLM"),
    _refused("GLM 5 Next", _NO_KERNEL, "Glm5NextForConditionalGeneration"),
    _refused("Kimi Linear", _NO_KERNEL, "KimiLinearForCausalLM", gguf=("kimi-linear",)),
    _refused("Lara Mini", _NO_KERNEL, "LaraMiniForCausalLM"),
    _refused("Falcon H1", _NO_KERNEL, "FalconH1ForCausalLM", gguf=("falcon-h1",)),
    _refused("Nemotron H", _NO_KERNEL, "NemotronHForCausalLM", gguf=("nemotron_h", "nemotron_h_moe")),
    _refused("OLMo hybrid", _NO_KERNEL, "OlmoHybridForCausalLM"),
    _refused("PLaMo 2", _NO_KERNEL, "Plamo2ForCausalLM", gguf=("plamo2",)),
    _refused("Zaya", _NO_KERNEL, "ZayaForCausalLM"),
    _refused("Jamba", _NO_KERNEL, "JambaForCausalLM", gguf=("jamba",)),
    _refused("Zamba", _NO_KERNEL, "ZambaForCausalLM", "Zamba2ForCausalLM"),
    _refused("RecurrentGemma", _NO_KERNEL, "RecurrentGemmaForCausalLM"),
    _refused("Qwen MoE", _EXPERTS, "Qwen2MoeForCausalLM", "Qwen3MoeForCausalLM", gguf=("qwen2moe", "qwen3moe")),
    _refused("Mixtral", _EXPERTS, "MixtralForCausalLM"),
    _refused("OLMoE", _EXPERTS, "OlmoeForCausalLM"),
    _refused("Granite MoE", _EXPERTS, "GraniteMoeForCausalLM"),
    _refused("Phi MoE", _EXPERTS, "PhimoeForCausalLM", "PhiMoEForCausalLM"),
    _refused("DeepSeek", _EXPERTS, "DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM"),
    _refused("MiniMax", _EXPERTS, "MiniMaxForCausalLM", "MiniMaxM2ForCausalLM", gguf=("minimax-m2",)),
    _refused("T5", _TWO_PARTS, "T5ForConditionalGeneration", "UMT5ForConditionalGeneration", gguf=("t5", "t5encoder")),
    _refused("BART", _TWO_PARTS, "BartForConditionalGeneration", "BartForCausalLM"),
    _refused("Whisper", _TWO_PARTS, "WhisperForConditionalGeneration"),
)
"""Known families that are not converted; any other architecture is refused by its own name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TriedPair:
    """A target and a drafter whose real weights were converted and run together, and their file format."""

    target: str
    drafter: str
    given_as: str


TRIED_PAIRS = (
    TriedPair(target="Qwen2.5-Coder-1.5B-Instruct", drafter="Qwen2.5-Coder-0.5B-Instruct", given_as="GGUF, packaged"),
)


def by_architecture(name: str) -> ModelFamily | None:
    """Return the family with the architecture ``name`` of config.json; None if it is not known."""
    return next((family for family in (*TAKEN, *REFUSED) if name in family.architectures), None)


def by_gguf(name: str) -> ModelFamily | None:
    """Return the family with the GGUF architecture ``name``; None if it is not known."""
    return next((family for family in (*TAKEN, *REFUSED) if name in family.gguf), None)


def supported_names() -> str:
    """Return the names of the families that are converted, in one line."""
    return ", ".join(family.name for family in TAKEN)


def refused_rows() -> list[tuple[str, str, str]]:
    """Return the refused families by reason: names, reason, and the option that converts them ("" if there is none)."""
    grouped: dict[tuple[str, bool], list[str]] = {}
    for family in REFUSED:
        grouped.setdefault((family.reason, family.optimum), []).append(family.name)
    option = {True: "--export-backend optimum", False: ""}
    return [(", ".join(names), reason, option[optimum]) for (reason, optimum), names in grouped.items()]


def unsupported(where: object, what: str, reason: str, *, optimum: bool) -> EdgedraftError:
    """Return the error for ``what`` at ``where``: the reason, what is supported, and whether Optimum can export it."""
    remedy = "choose a model of a supported family"
    if optimum:
        remedy = "convert it with --export-backend optimum (or --via optimum)"
    return EdgedraftError(f"{where}: {what} is not supported: {reason}; supported: {supported_names()}", remedy=remedy)
