"""A model's tokens without its weights: the codec, the ids that end a turn, and how many tokens its logits score."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedraft.exporter.graph.precisions import DEFAULT
from edgedraft.exporter.models.convert import convert, end_token_ids
from edgedraft.exporter.models.sources import HUGGING_FACE, resolve
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.text.codec import TextCodec

_CONFIGS = ("generation_config.json", "config.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokenization:
    """What counting a model's tokens takes."""

    codec: TextCodec
    end_token_ids: tuple[int, ...]
    vocab_size: int


def tokenization(reference: str, cache: Path, progress: Progress = silent) -> Tokenization:
    """The tokens of the model that ``reference`` names; only other models than Hugging Face folders are converted."""
    source = resolve(reference, cache, progress)
    if source.kind == HUGGING_FACE and (source.path / "tokenizer.json").is_file():
        return _of_folder(source.path)
    folder = convert(source, DEFAULT, cache, progress).path
    model = read_json(folder / "genai_config.json")["model"]
    ends = end_token_ids(folder)
    return Tokenization(codec=TextCodec(folder), end_token_ids=ends, vocab_size=int(model["vocab_size"]))


def _of_folder(folder: Path) -> Tokenization:
    """From the configurations beside the tokenizer; where both name the end of turn, the generation's counts."""
    found = [read_json(folder / name) for name in _CONFIGS if (folder / name).is_file()]
    ends = _first(found, "eos_token_id", folder)
    return Tokenization(
        codec=TextCodec(folder),
        end_token_ids=tuple(sorted(ends)) if isinstance(ends, list) else (int(ends),),
        vocab_size=int(_first(found, "vocab_size", folder)),
    )


def _first(configurations: list[Mapping[str, Any]], key: str, folder: Path) -> Any:
    for configuration in configurations:
        text = configuration.get("text_config") or {}
        value = configuration.get(key, text.get(key))
        if value is not None:
            return value
    raise EdgedraftError(f"{folder}: no {key} in {' or '.join(_CONFIGS)}", remedy="give the model's whole folder")
