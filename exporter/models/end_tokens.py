"""Find every token that ends a turn, in a model's configurations, its tokenizer and its chat template."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgedraft.runtime.base.errors import EdgedraftError, shown
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.plain_files import holds_file
from edgedraft.runtime.base.tokenizer_files import tokenizer_settings
from edgedraft.runtime.text.chat_template import read_chat_template

ENDS = "eos_token_id"

_CONFIGS = ("genai_config.json", "generation_config.json", "config.json")
_PARTS = ("model", "text_config")
_TOKENIZER = "tokenizer.json"
_WORD = "Sentinel8edgedraft8Text"


def end_token_ids(*folders: Path) -> tuple[int, ...]:
    """Return all ids that end a turn according to any file in ``folders``, ascending; empty if there are none.

    A fine-tuned model often keeps its base model's id in one file and ends its turns with the id of another.
    """
    return tuple(sorted({token_id for folder in folders for token_id in _ids(folder)}))


def with_ends(settings: Mapping[str, Any], ids: Sequence[int]) -> dict[str, Any]:
    """Return the settings of a genai_config.json with these ids: other engines read them from nowhere else."""
    return {**settings, "model": {**settings["model"], ENDS: ids[0] if len(ids) == 1 else list(ids)}}


def _ids(folder: Path) -> Iterator[int]:
    for path in (folder / name for name in _CONFIGS):
        if holds_file(path):
            yield from _stated(read_json(path), path)
    if holds_file(folder / _TOKENIZER):
        tokens = _special_tokens(folder)
        settings = tokenizer_settings(folder)
        own, end = tokens.get(_text_of(settings, "eos_token")), turn_end(folder)
        yield from (token_id for token_id in (own, end) if token_id is not None)


def _special_tokens(folder: Path) -> dict[str, int]:
    """Return the ids of a tokenizer's special tokens by their texts, without loading the tokenizer."""
    data = read_json(folder / _TOKENIZER)
    added = data.get("added_tokens") if isinstance(data, Mapping) else None
    tokens = [token for token in added if isinstance(token, Mapping)] if isinstance(added, list) else []
    known = [token for token in tokens if isinstance(token.get("content"), str) and type(token.get("id")) is int]
    return {token["content"]: token["id"] for token in known if token.get("special")}


def _text_of(settings: Mapping[str, Any], name: str) -> str:
    """Return the text of a special token of tokenizer_config.json; empty if there is none."""
    token = settings.get(name)
    text = token.get("content") if isinstance(token, Mapping) else token
    return text if isinstance(text, str) else ""


def _stated(config: Any, path: Path) -> Iterator[int]:
    """Yield the ids in a configuration or its text part; ids below 0 mean none."""
    parts = [config, *(config.get(name) for name in _PARTS)] if isinstance(config, Mapping) else []
    for part in parts:
        value = part.get(ENDS) if isinstance(part, Mapping) else None
        values = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(each, int) and not isinstance(each, bool) for each in values):
            raise EdgedraftError(f"{path}: {ENDS}: expected token ids", got=shown(value))
        yield from (each for each in values if each >= 0)


def turn_end(folder: Path) -> int | None:
    """Return the special token that the chat template writes directly after an answer; None if there is none."""
    chat = read_chat_template(folder)
    if chat.source is None:
        return None
    turns = [{"role": "user", "content": "ask"}, {"role": "assistant", "content": _WORD}]
    try:
        _, shown_word, behind = chat.render(turns, answer=False).rpartition(_WORD)
    except EdgedraftError:
        return None  # a template that takes no such conversation
    tokens, begins = _special_tokens(folder) if shown_word else {}, _text_of(tokenizer_settings(folder), "bos_token")
    first = max((text for text in tokens if behind.lstrip().startswith(text)), key=len, default=begins)
    return None if first == begins else tokens[first]
