"""A tokenizer without its model: what counting takes, from a folder or hub repository that may hold no weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgedraft.exporter.models.packaged_models import packaged_models
from edgedraft.exporter.models.sources import check_reference
from edgedraft.exporter.models.tokenization import Tokenization, tokenization
from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError, first_line
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.tokenizer_files import TEXT_FILES
from edgedraft.runtime.text.codec import TextCodec

_TOKENIZER, _TOKENIZER_CONFIG, _ = TEXT_FILES
_CONFIGS = ("generation_config.json", "config.json")


def tokenizer_of(reference: str, cache: Path, progress: Progress = silent) -> Tokenization:
    """The tokens of a tokenizer's folder, of a hub repository, or of anything that `tokenization` takes.

    Of a repository only the tokenizer and its configurations are downloaded.
    """
    path = Path(reference).expanduser()
    if (path / _TOKENIZER).is_file():
        return _of_folder(path)
    if path.exists() or reference in {model.name for model in packaged_models()}:
        return tokenization(reference, cache, progress)
    check_reference(reference)
    return _of_folder(_downloaded(reference, cache))


def _of_folder(folder: Path) -> Tokenization:
    """Without a model's configuration the tokenizer says where answers end and how many tokens there are."""
    codec = TextCodec(folder)
    configs = [read_json(folder / name) for name in _CONFIGS if (folder / name).is_file()]
    vocab_size = _first(configs, "vocab_size") or codec.tokenizer.get_vocab_size()
    ends = _first(configs, "eos_token_id")
    ends = _end_by_name(folder, codec) if ends is None else ends
    return Tokenization(
        codec=codec,
        end_token_ids=tuple(sorted(ends)) if isinstance(ends, list) else (int(ends),),
        vocab_size=int(vocab_size),
    )


def _first(configs: list[Mapping[str, Any]], key: str) -> Any:
    found = (config.get(key, (config.get("text_config") or {}).get(key)) for config in configs)
    return next((value for value in found if value is not None), None)


def _end_by_name(folder: Path, codec: TextCodec) -> int:
    token = _tokenizer_config(folder).get("eos_token")
    name = token.get("content") if isinstance(token, Mapping) else token
    found = codec.tokenizer.token_to_id(name) if isinstance(name, str) else None
    if found is None:
        names = f"{', '.join(_CONFIGS)} or {_TOKENIZER_CONFIG}"
        raise EdgedraftError(f"{folder}: no token that ends an answer in {names}", remedy="give the model's own folder")
    return int(found)


def _tokenizer_config(folder: Path) -> Mapping[str, Any]:
    path = folder / _TOKENIZER_CONFIG
    data = read_json(path) if path.is_file() else {}
    return data if isinstance(data, Mapping) else {}


def _downloaded(reference: str, cache: Path) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", "export") from error
    wanted = [*TEXT_FILES, *_CONFIGS]
    try:
        folder = Path(snapshot_download(reference, cache_dir=cache / "hub", allow_patterns=wanted))
    except Exception as error:  # the hub's client raises classes of several libraries
        remedy = "check the name and the network, or give a folder"
        raise EdgedraftError(f"{reference}: the hub did not give it", got=first_line(error), remedy=remedy) from error
    if not (folder / _TOKENIZER).is_file():
        raise EdgedraftError(f"{reference}: no {_TOKENIZER} in this repository", remedy="name the target's own")
    return folder
