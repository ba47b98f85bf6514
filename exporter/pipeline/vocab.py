"""Token maps of other engines: inspected, converted, and made from counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.tokenization import tokenizer_of
from edgedraft.exporter.vocab.checks import TokenizerCheck, check_tokenizer
from edgedraft.exporter.vocab.kinds import EDGEDRAFT, KINDS
from edgedraft.exporter.vocab.ranked import Ranked, read_ranked
from edgedraft.exporter.vocab.reading import DeclaredMap, read_vocab_map
from edgedraft.exporter.vocab.tokens import Tokenization
from edgedraft.exporter.vocab.vocab_map import REPAIR, VocabMap
from edgedraft.exporter.vocab.writing import require_map_output, write_vocab_map
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectRequest:
    """Read the token map in ``file``; ``kind`` and ``target_vocab_size`` decide where its numbers fit two readings.

    ``tokenizer`` is the target's folder or hub id, to check the map against.
    """

    file: Path
    kind: str | None = None
    target_vocab_size: int | None = None
    tokenizer: str | None = None
    cache: Path | None = None

    def tokens(self, progress: Progress) -> Tokenization | None:
        """Return the target's tokens, where its tokenizer was given."""
        return _tokens(self.tokenizer, self.cache, progress)

    def vocab_map(self, tokens: Tokenization | None) -> VocabMap:
        """Read the map as the request says."""
        size = self.target_vocab_size or (tokens.vocab_size if tokens else None)
        return read_vocab_map(self.file, DeclaredMap(kind=self.kind, vocab_size=size))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class InspectedMap:
    """A token map, its check against the tokenizer where one was given, and what is wrong with it."""

    vocab_map: VocabMap
    tokenizer: TokenizerCheck | None
    problems: tuple[str, ...]


def inspect_map(request: InspectRequest, progress: Progress = silent) -> InspectedMap:
    """Read a map and check it."""
    tokens = request.tokens(progress)
    vocab_map = request.vocab_map(tokens)
    if request.target_vocab_size is not None:
        vocab_map = vocab_map.with_vocab_size(request.target_vocab_size)
    checked = None if tokens is None else check_tokenizer(vocab_map, tokens)
    problems = (*vocab_map.problems, *(checked.problems if checked else ()))
    return InspectedMap(vocab_map=vocab_map, tokenizer=checked, problems=problems)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvertRequest(InspectRequest):
    """Write the map to ``output`` as a file of the kind ``to``; change it only by ``repair`` and ``sort``."""

    output: Path
    to: str
    repair: bool = False
    sort: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ConvertedMap:
    """The map as it was written, and sentences about what was changed and what is amiss."""

    vocab_map: VocabMap
    notes: tuple[str, ...]


def convert_map(request: ConvertRequest, progress: Progress = silent) -> ConvertedMap:
    """Read, change only what was asked for, check, write."""
    require_map_output(request.output, request.to)
    tokens = request.tokens(progress)
    original = request.vocab_map(tokens)
    for size in (request.target_vocab_size, tokens.vocab_size if tokens else None):
        original = original if size is None else original.with_vocab_size(size)
    ends = tokens.end_token_ids if tokens else ()
    converted, changes = _changed(original, request, ends)
    missing = converted.missing(ends)
    rule = f"{request.file}: {KINDS[EDGEDRAFT].file} holds the ids that end a turn; this map lacks"
    require(not missing or request.to != EDGEDRAFT, rule, got=", ".join(map(str, missing)), remedy=REPAIR)
    write_vocab_map(request.output, converted, request.to)
    notes = [*changes]
    if missing:
        ids = ", ".join(map(str, missing))
        notes.append(f"The map lacks {ids}: the drafter would never propose the end of a turn.")
    if KINDS[request.to].by_frequency and original.ascending:
        notes.append(f"{KINDS[request.to].file} is in order of frequency; this map knows none, so ids ascend.")
    return ConvertedMap(vocab_map=converted, notes=tuple(notes))


@dataclass(frozen=True, kw_only=True, slots=True)
class VocabExportRequest:
    """Write the ``vocab_size`` most frequent tokens of ``counts`` to ``output`` as a file of the kind ``to``."""

    counts: Path
    output: Path
    to: str
    vocab_size: int
    tokenizer: str | None = None
    cache: Path | None = None


def export_map(request: VocabExportRequest, progress: Progress = silent) -> tuple[VocabMap, Ranked]:
    """Rank, cut, write; return the map and the counts behind it."""
    require_map_output(request.output, request.to)
    ranked = read_ranked(request.counts, _tokens(request.tokenizer, request.cache, progress))
    made = ranked.vocab_map(request.vocab_size, request.to)
    write_vocab_map(request.output, made, request.to, ranked.frequencies)
    return made, ranked


def _tokens(reference: str | None, cache: Path | None, progress: Progress) -> Tokenization | None:
    return tokenizer_of(reference, cache_folder(cache), progress) if reference else None


def _changed(original: VocabMap, request: ConvertRequest, ends: Sequence[int]) -> tuple[VocabMap, list[str]]:
    """Return the map after repairing and sorting, and what they changed."""
    converted, changes = original, []
    if request.repair:
        converted, added = original.repaired(ends), original.missing(ends)
        if original.entries > original.distinct:
            changes.append(f"Dropped {original.entries - original.distinct} repeated ids.")
        if added:
            changes.append(f"Added {', '.join(map(str, added))}, which end a turn.")
    if request.sort and not converted.ascending:
        converted = converted.sorted()
        changes.append("Put the ids in ascending order: rows of a head trained for the old order must move too.")
    return converted, changes
