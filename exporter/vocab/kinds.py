"""The kinds of token-map files: who writes them, and the convention and order of ids that their readers expect."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgedraft.runtime.base.errors import EdgedraftError

ABSOLUTE, OFFSET = CONVENTIONS = ("absolute", "offset")
"""``target = values[i]`` and ``target = i + values[i]``."""

FR_SPEC, EAGLE3, EAGLE3_CACHE, SPECULATORS, MODELOPT = "fr-spec", "eagle3", "eagle3-cache", "speculators", "modelopt"
GGUF, OPENVINO, MNN, NEMO = "gguf", "openvino", "mnn", "nemo"
EXECUTORCH, TEXT, JSON, EDGEDRAFT = "executorch", "text", "json", "edgedraft"


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One kind of file. ``convention``: the one its readers expect. ``ascending``: they need ids in ascending order.

    ``holds_vocab_size``: the file says how many tokens the target knows. ``by_frequency``: the most frequent first.
    """

    name: str
    file: str
    convention: str
    ascending: bool = False
    holds_vocab_size: bool = False
    by_frequency: bool = False
    writable: bool = True


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            name=FR_SPEC,
            file="FR-Spec's freq_K.pt, SGLang's --speculative-token-map",
            convention=ABSOLUTE,
            by_frequency=True,
        ),
        Kind(
            name=EAGLE3,
            file="d2t and t2d in safetensors: EAGLE-3, SpecForge, speculators, TensorRT-LLM",
            convention=OFFSET,
            ascending=True,
            holds_vocab_size=True,
        ),
        Kind(
            name=EAGLE3_CACHE,
            file="d2t and t2d in a torch file: EAGLE's cache.pt, SpecForge's mapping, pytorch_model.bin",
            convention=OFFSET,
            ascending=True,
            holds_vocab_size=True,
        ),
        Kind(
            name=SPECULATORS,
            file="speculators' folder of d2t.npy and t2d.npy",
            convention=OFFSET,
            ascending=True,
            holds_vocab_size=True,
        ),
        Kind(name=MODELOPT, file="NVIDIA ModelOpt's d2t.pt", convention=OFFSET, by_frequency=True),
        Kind(name=GGUF, file="llama.cpp's tensor d2t", convention=ABSOLUTE, writable=False),
        Kind(name=OPENVINO, file="OpenVINO IR's constant d2t", convention=OFFSET, writable=False),
        Kind(name=MNN, file="MNN's eagle_d2t.mnn", convention=OFFSET, writable=False),
        Kind(name=NEMO, file="NeMo's eagle_meta.pt", convention=ABSOLUTE, writable=False),
        Kind(name=EXECUTORCH, file='ExecuTorch\'s JSON of {"pruned id": original id}', convention=ABSOLUTE),
        Kind(name=TEXT, file="plain text, one id a line", convention=ABSOLUTE),
        Kind(name=JSON, file="a JSON list of ids", convention=ABSOLUTE),
        Kind(
            name=EDGEDRAFT,
            file="edgedraft's index_map.safetensors",
            convention=ABSOLUTE,
            ascending=True,
            holds_vocab_size=True,
        ),
    )
}

WRITABLE = tuple(kind.name for kind in KINDS.values() if kind.writable)


def kind_named(name: str, known: Sequence[str] = tuple(KINDS)) -> Kind:
    """Return the kind called ``name``, which must be one of ``known``."""
    if name not in known:
        raise EdgedraftError("vocab: unknown kind of file", got=name, remedy=f"known: {', '.join(known)}")
    return KINDS[name]
