"""A model's tokens without its weights: the codec, the ids that end a turn, and how many tokens its logits score."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgedraft.exporter.graph.precisions import DEFAULT
from edgedraft.exporter.models.convert import convert
from edgedraft.exporter.models.end_tokens import end_token_ids
from edgedraft.exporter.models.packaged_models import packaged_models
from edgedraft.exporter.models.sources import HUGGING_FACE, check_reference, hub_folder, resolve
from edgedraft.exporter.vocab.tokens import Tokenization
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.plain_files import holds_file
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.tokenizer_files import TEXT_FILES, TOKENIZER_SETTINGS
from edgedraft.runtime.text.codec import TextCodec

_TOKENIZER = "tokenizer.json"
_SIZE = "vocab_size"

_CONFIGS = ("generation_config.json", "config.json")
_NO_END = f"no eos_token_id in {' or '.join(_CONFIGS)}"


def tokenization(reference: str, cache: Path, progress: Progress = silent) -> Tokenization:
    """Return the tokens of the model that ``reference`` names; models other than Hugging Face folders are converted.

    Raises `EdgedraftError` where the model's configuration lacks the end of a turn or the vocabulary size.
    """
    source = resolve(reference, cache, progress)
    if source.kind == HUGGING_FACE and holds_file(source.path / _TOKENIZER):
        return _tokenization(source.path, _stated(_configurations(source.path), _SIZE, source.path), _NO_END)
    folder = convert(source, DEFAULT, cache, progress).path
    return _tokenization(folder, read_json(folder / "genai_config.json")["model"][_SIZE], _NO_END)


def tokenizer_of(reference: str, cache: Path, progress: Progress = silent) -> Tokenization:
    """Return the tokens of a tokenizer's folder, of a hub repository, or of anything that `tokenization` takes.

    The model itself may be missing: of a repository only the tokenizer and its configurations are downloaded, and the
    tokenizer says what the configurations leave open.
    """
    path = Path(reference).expanduser()
    if holds_file(path / _TOKENIZER):
        return _of_tokenizer(path)
    if path.exists() or reference in {model.name for model in packaged_models()}:
        return tokenization(reference, cache, progress)
    check_reference(reference)
    folder = hub_folder(reference, cache, only=[*TEXT_FILES, *_CONFIGS])
    if not holds_file(folder / _TOKENIZER):
        raise EdgedraftError(f"{reference}: no {_TOKENIZER} in this repository", remedy="name the target's own")
    return _of_tokenizer(folder)


def _tokenization(folder: Path, vocab_size: Any, no_end: str) -> Tokenization:
    """Return the tokens of a folder; ``no_end`` says where no end of a turn was stated."""
    ends = end_token_ids(folder)
    require(bool(ends), f"{folder}: {no_end}", remedy="give the model's own folder")
    return Tokenization(codec=TextCodec(folder), end_token_ids=ends, vocab_size=int(vocab_size))


def _of_tokenizer(folder: Path) -> Tokenization:
    size = _first(_configurations(folder), _SIZE) or TextCodec(folder).tokenizer.get_vocab_size()
    names = f"{', '.join(_CONFIGS)} or {TOKENIZER_SETTINGS}"
    return _tokenization(folder, size, f"no token that ends an answer in {names}")


def _configurations(folder: Path) -> list[Mapping[str, Any]]:
    return [read_json(folder / name) for name in _CONFIGS if holds_file(folder / name)]


def _first(configs: list[Mapping[str, Any]], key: str) -> Any:
    """Return the first value of ``key``, also from a model's text part; None where no configuration has one."""
    values = (config.get(key, (config.get("text_config") or {}).get(key)) for config in configs)
    return next((value for value in values if value is not None), None)


def _stated(configs: list[Mapping[str, Any]], key: str, folder: Path) -> Any:
    value = _first(configs, key)
    if value is None:
        raise EdgedraftError(f"{folder}: no {key} in {' or '.join(_CONFIGS)}", remedy="give the model's whole folder")
    return value
