"""MtpForm: the names and rules by which a family of checkpoints stores its multi-token-prediction head."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

EMBEDDING_NORM, STATE_NORM, JOIN, LAST_NORM = "embedding_norm.weight", "state_norm.weight", "fc.weight", "norm.weight"
"""Names of tensors in `EagleCheckpoint.weights` that each form names in its own way."""

_QWEN_35 = ("Qwen3_5ForConditionalGeneration", "Qwen3_5ForCausalLM", "Qwen3NextForCausalLM")
_LLAMA_LIKE = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")


@dataclass(frozen=True, kw_only=True, slots=True)
class MtpForm:
    """One way to store a head of one decoder layer.

    ``pattern`` matches the names of its tensors; its group ``leaf`` is the name within the head, its group ``layer``,
    if it took part, the layer's number. ``names``: the form's names of the norms and the product that join token and
    state, and of the last norm. ``copies``: tensors that repeat the target's. ``architectures``: the targets whose
    decoder layers are known.

    ``gated``: the query's matrix also makes a gate, head by head. ``head_norms``: queries and keys are normalised.
    ``norms_from_one``: norms scale by 1 + w. ``before_final_norm``: the head reads the target's state before its final
    norm, else the one after. ``states_first`` and ``first_row_blank``: see `EagleLayout`.
    """

    name: str
    pattern: re.Pattern[str]
    names: Mapping[str, str]
    architectures: tuple[str, ...]
    copies: tuple[str, ...] = ()
    gated: bool = False
    head_norms: bool = False
    norms_from_one: bool = False
    before_final_norm: bool = False
    states_first: bool = False
    first_row_blank: bool = False

    def layers(self, names: Collection[str]) -> list[int]:
        """Return the numbers of the head's layers, ascending; tensors outside of layers count as those of none."""
        matches = (self.pattern.fullmatch(name) for name in names)
        return sorted({int(match["layer"]) for match in matches if match is not None and match["layer"]})

    def leaves(self, names: Collection[str]) -> dict[str, str]:
        """Return the name within the head by the stored name, without copies of the target's tensors."""
        matches = ((name, self.pattern.fullmatch(name)) for name in names)
        leaves = {name: match["leaf"] for name, match in matches if match is not None}
        return {name: leaf for name, leaf in leaves.items() if leaf not in self.copies}


def _below(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of names; a model that also sees keeps its decoder below another module."""
    return re.compile(rf"(?:model\.|language_model\.)*{pattern}")


FORMS = (
    MtpForm(
        name="Qwen 3.5",
        pattern=_below(r"mtp\.(?:layers\.(?P<layer>\d+)\.)?(?P<leaf>.+)"),
        names={
            EMBEDDING_NORM: "pre_fc_norm_embedding.weight",
            STATE_NORM: "pre_fc_norm_hidden.weight",
            JOIN: "fc.weight",
            LAST_NORM: "norm.weight",
        },
        architectures=_QWEN_35,
        gated=True,
        head_norms=True,
        norms_from_one=True,
    ),
    MtpForm(
        name="MiMo",
        pattern=_below(r"mtp_layers\.(?P<layer>\d+)\.(?P<leaf>.+)"),
        names={
            EMBEDDING_NORM: "token_layernorm.weight",
            STATE_NORM: "hidden_layernorm.weight",
            JOIN: "input_proj.weight",
            LAST_NORM: "final_layernorm.weight",
        },
        architectures=("MiMoForCausalLM", "Qwen2ForCausalLM"),
        before_final_norm=True,
        states_first=True,
        first_row_blank=True,
    ),
)
"""Forms with a module of their own. Sources: transformers' modeling_layers.py (MtpModel), vLLM's qwen3_5_mtp.py,
mimo.py and mimo_mtp.py."""

_JOIN_BEHIND = _below(r"layers\.(?P<layer>\d+)\.eh_proj\.weight")


def _deepseek(layers: Collection[str]) -> MtpForm:
    """Return the form of DeepSeek and GLM, whose heads stand as ``layers`` behind the decoder's own."""
    return MtpForm(
        name="DeepSeek",
        pattern=_below(rf"layers\.(?P<layer>{'|'.join(layers)})\.(?P<leaf>.+)"),
        names={
            EMBEDDING_NORM: "enorm.weight",
            STATE_NORM: "hnorm.weight",
            JOIN: "eh_proj.weight",
            LAST_NORM: "shared_head.norm.weight",
        },
        architectures=_LLAMA_LIKE,
        copies=("shared_head.head.weight", "embed_tokens.weight"),
    )


def form_of(names: Collection[str]) -> MtpForm | None:
    """Return the form of the head among tensors with these ``names``; None if there is no head."""
    behind = [match["layer"] for match in map(_JOIN_BEHIND.fullmatch, names) if match is not None]
    forms = (*FORMS, _deepseek(behind)) if behind else FORMS
    return next((form for form in forms if form.leaves(names)), None)
