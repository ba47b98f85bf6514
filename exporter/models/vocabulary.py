"""Check that two models share a tokenizer, by comparing the token of each id, before anything is converted."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedraft.exporter.models.gguf_header import read_gguf_header
from edgedraft.exporter.models.packaged_models import packaged_models
from edgedraft.exporter.models.processes import run_python
from edgedraft.exporter.models.sources import GGUF, HUGGING_FACE, ModelSource, hub_folder, is_on_disk, resolve
from edgedraft.exporter.models.whole_files import require_whole
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import read_json
from edgedraft.runtime.base.plain_files import holds_file
from edgedraft.runtime.base.progress import Progress
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.replacing import replacing_folder
from edgedraft.runtime.base.tokenizer_files import (
    TEXT_FILES,
    TOKENIZER,
    Vocabulary,
    plain_merges,
    plain_piece,
    read_vocabulary,
    without_padding,
)

_CONFIG, _GENAI = "config.json", "genai_config.json"
_KEY = "tokenizer.ggml"
_UNUSED = 5  # llama.h: LLAMA_TOKEN_TYPE_UNUSED
_SHOWN = 8
# Placeholders for what is no text; a model that sees has rows for them that its text-only brother lacks.
_MEDIA = re.compile(r"image|audio|video|vision", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NamedVocabulary:
    """A model's vocabulary under the name that the user gave; ``width`` is that of its logits, None if unknown."""

    name: str
    vocabulary: Vocabulary
    width: int | None = None

    def piece(self, token_id: int) -> str | None:
        """Return the token text of an id; None for padding and for ids without a row in the logits."""
        return self.vocabulary.pieces.get(token_id) if self.has_row(token_id) else None

    def has_row(self, token_id: int) -> bool:
        """Return whether the logits have a row for an id; true if their width is unknown."""
        return self.width is None or token_id < self.width


def require_one_tokenizer(target: NamedVocabulary, drafter: NamedVocabulary) -> None:
    """Refuse a drafter whose ids stand for other tokens than the target's; the error names those that differ."""
    ids = sorted({*target.vocabulary.pieces, *drafter.vocabulary.pieces})
    different = [token_id for token_id in ids if not _agree(token_id, target, drafter)]
    rule, remedy = "target and drafter must share one tokenizer", "choose a drafter of the target's family"
    if different:
        shown = ", ".join(_shown(token_id, target, drafter) for token_id in different[:_SHOWN])
        more = f" and {len(different) - _SHOWN:,} more" if len(different) > _SHOWN else ""
        tokens = "1 token that differs" if len(different) == 1 else f"{len(different):,} tokens that differ"
        raise EdgedraftError(rule, got=f"{tokens}: {shown}{more}", remedy=remedy)
    by_target, by_drafter = target.vocabulary.merges, drafter.vocabulary.merges
    if by_target is not None and by_drafter is not None and by_target != by_drafter:
        got = _different_merges(by_target, by_drafter, target.name, drafter.name)
        raise EdgedraftError(rule, got=got, remedy=remedy)


def require_all_rows(folder: Path, width: int, texts: Path | None = None) -> None:
    """Refuse a drafter in ``folder`` whose logits lack tokens, because it was trimmed before.

    ``texts`` is the folder of its tokenizer, if that is another one.
    """
    file = (texts or folder) / TOKENIZER
    pieces = read_vocabulary(file).pieces.items() if holds_file(file) else ()
    needed = 1 + max((token_id for token_id, piece in pieces if not _MEDIA.search(piece)), default=-1)
    remedy = "give the drafter with its whole vocabulary"
    require(width >= needed, f"{folder}: the logits must hold all {needed} tokens", got=width, remedy=remedy)


def named_vocabulary(reference: str, cache: Path, progress: Progress) -> NamedVocabulary | None:
    """Read the vocabulary of the model ``reference``; of a hub repository only the text files are downloaded.

    Returns None for a folder without any tokenizer. Raises `EdgedraftError` for an incomplete model.
    """
    if not is_on_disk(reference) and reference not in {model.name for model in packaged_models()}:
        texts = hub_folder(reference, cache, only=[*TEXT_FILES, _CONFIG])
        if holds_file(texts / TOKENIZER):
            return _in_folder(reference, texts)
    source = resolve(reference, cache, progress)
    require_whole(source)
    return _of_source(reference, source, cache)


def gguf_vocabulary(path: Path) -> Vocabulary:
    """Read the vocabulary that a GGUF file holds."""
    facts = read_gguf_header(path).metadata
    tokens, kinds = facts.get(f"{_KEY}.tokens"), facts.get(f"{_KEY}.token_type") or []
    remedy = "give the model's own file"
    require(isinstance(tokens, list) and bool(tokens), f"{path}: holds no tokenizer", remedy=remedy)
    assert isinstance(tokens, list)
    merges = facts.get(f"{_KEY}.merges") if facts.get(f"{_KEY}.model") == "gpt2" else None
    return Vocabulary(
        pieces=without_padding(enumerate(tokens)),
        merges=None if merges is None else plain_merges(merges),
        unused=frozenset(place for place, kind in enumerate(kinds) if kind == _UNUSED),
    )


def _of_source(name: str, source: ModelSource, cache: Path) -> NamedVocabulary | None:
    if source.kind == GGUF:
        return NamedVocabulary(name=name, vocabulary=gguf_vocabulary(source.path))
    if holds_file(source.path / TOKENIZER):
        return _in_folder(name, source.path)
    if source.kind != HUGGING_FACE:
        return None
    return _in_folder(name, source.path, _converted(source, cache))


def _in_folder(name: str, folder: Path, texts: Path | None = None) -> NamedVocabulary:
    vocabulary = read_vocabulary((texts or folder) / TOKENIZER)
    return NamedVocabulary(name=name, vocabulary=vocabulary, width=_width(folder))


def _converted(source: ModelSource, cache: Path) -> Path:
    """Return the folder with the tokenizer that transformers converts from vocab.json or tokenizer.model."""
    folder = cache / "tokenizers" / f"{source.name}-{source.identity[:12]}"
    if not holds_file(folder / TOKENIZER):
        with replacing_folder(folder) as temporary:
            arguments = ["-m", "edgedraft.exporter.models.worker_tokenizer", str(source.path), str(temporary)]
            log = cache / "logs" / f"tokenizer-{folder.name}.log"
            run_python(f"reading the tokenizer of {source.name}", arguments, log)
    return folder


def _width(folder: Path) -> int | None:
    """Return the width of the logits from the folder's configuration; None if it names none."""
    file = next((folder / name for name in (_GENAI, _CONFIG) if holds_file(folder / name)), None)
    config: Any = {} if file is None else read_json(file)
    for part in (config, config.get("text_config"), config.get("model")) if isinstance(config, dict) else ():
        if isinstance(part, dict) and isinstance(part.get("vocab_size"), int):
            return int(part["vocab_size"])
    return None


def _agree(token_id: int, target: NamedVocabulary, drafter: NamedVocabulary) -> bool:
    """Return whether an id has the same token in both models, or is unused in one of them."""
    one, other = target.piece(token_id), drafter.piece(token_id)
    if one is not None and other is not None:
        return plain_piece(one) == plain_piece(other)
    piece, owner, lacking = (one, target, drafter) if other is None else (other, drafter, target)
    if piece is None or token_id in owner.vocabulary.unused:
        return True
    return not lacking.has_row(token_id) and _MEDIA.search(piece) is not None


def _shown(token_id: int, target: NamedVocabulary, drafter: NamedVocabulary) -> str:
    one, other = target.piece(token_id), drafter.piece(token_id)
    if one is None or other is None:
        name = target.name if other is None else drafter.name
        return f"{one if other is None else other} ({token_id}) of {name} alone"
    return f"{token_id} is {one!r} in {target.name} and {other!r} in {drafter.name}"


def _different_merges(one: tuple[str, ...], other: tuple[str, ...], first: str, second: str) -> str:
    place = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    said = [f"{merges[place]!r} in {name}" for merges, name in ((one, first), (other, second)) if place < len(merges)]
    return f"merges that differ from the {place + 1}. on: {' and '.join(said)}"
