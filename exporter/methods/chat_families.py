"""Families of chat formats, recognised in what a tokenizer's own template writes, under the reference tool's names."""

from edgedraft.runtime.base.records import require
from edgedraft.runtime.text.codec import TextCodec

_MARKERS = {
    "llama3": ("<|start_header_id|>", "<|eot_id|>"),
    "llama4": ("<|header_start|>", "<|eot|>"),
    "phi4": ("<|im_start|>", "<|im_sep|>"),
    "qwen": ("<|im_start|>", "<|im_end|>"),
    "phi3": ("<|assistant|>", "<|end|>"),
    "gemma": ("<start_of_turn>model", "<end_of_turn>"),
}
_DEEPSEEK = ("<｜Assistant｜>", "Assistant:")

FAMILIES = ("llama3", "llama4", "qwen", "deepseek", "phi3", "phi4", "gemma")
"""The names that may be given."""


def family_of(codec: TextCodec) -> str | None:
    """Return the family whose markers stand in a conversation as the template writes it; None where none does."""
    turns = [{"role": "user", "content": "ask"}, {"role": "assistant", "content": "answer"}]
    text = codec.render_chat(turns, answer=False)
    for name, markers in _MARKERS.items():
        if all(marker in text for marker in markers):
            return name
    return "deepseek" if any(marker in text for marker in _DEEPSEEK) else None


def require_family(family: str | None) -> None:
    """Raise `EdgedraftError` at a name that is not of `FAMILIES`; None names no family."""
    known = family is None or family in FAMILIES
    require(known, f"chat-template: expected one of {', '.join(FAMILIES)}", got=family)


def require_template(codec: TextCodec, where: str, family: str | None) -> None:
    """Raise `EdgedraftError` unless the tokenizer at ``where`` has a chat template, of ``family`` where that is named.

    The template itself is always the tokenizer's own: a family's name can be checked, but never takes its place.
    """
    require_family(family)
    remedy = "give the folder of the instruction-tuned model"
    require(codec.has_template, f"{where}: expected a tokenizer with a chat template", got="none", remedy=remedy)
    own = None if family is None else family_of(codec)
    rule = f"{where}: chat-template: expected the family of the tokenizer's own, {own or 'none of the known ones'}"
    require(own == family, rule, got=family, remedy="leave chat-template out: the tokenizer's own template is used")
