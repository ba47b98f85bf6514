"""New token maps from counts: the most frequent tokens of a calibration, a counts file, or a token_freq.pt."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedraft.calibration.counts import order_tokens
from edgedraft.calibration.saved import SavedCalibration, load_calibration
from edgedraft.exporter.vocab.array_files import is_frequencies
from edgedraft.exporter.vocab.kinds import WRITABLE, kind_named
from edgedraft.exporter.vocab.tokens import Tokenization
from edgedraft.exporter.vocab.torch_files import read_torch
from edgedraft.exporter.vocab.vocab_map import VocabMap
from edgedraft.runtime.base.arrays import Ids, Int64Array
from edgedraft.runtime.base.records import require

_GIVE_TOKENIZER = "give the target's --tokenizer"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Ranked:
    """Counts that rank tokens, int64 (vocab,) each, the most important first, and counts that a map is judged by."""

    counts: tuple[Int64Array, ...]
    judged: Int64Array
    judged_name: str
    end_token_ids: tuple[int, ...]

    @property
    def vocab_size(self) -> int:
        """Return how many tokens the target knows."""
        return len(self.counts[0])

    def unseen(self, token_ids: Ids) -> int:
        """Count the ``token_ids`` that occur in none of the counts; ids that end a turn are kept anyway."""
        never = np.sum(self.counts, axis=0)[token_ids] == 0
        return int((never & ~np.isin(token_ids, self.end_token_ids)).sum())

    @property
    def frequencies(self) -> Mapping[int, int]:
        """Return the first counts by token id, without those of zero."""
        first = self.counts[0]
        return {int(token): int(first[token]) for token in np.flatnonzero(first)}

    def coverage(self, token_ids: Ids) -> float:
        """Return the share of the judged tokens that ``token_ids`` cover."""
        return float(self.judged[token_ids].sum() / max(self.judged.sum(), 1))

    def vocab_map(self, size: int, kind: str) -> VocabMap:
        """Return the ``size`` most frequent tokens for a file of ``kind``: by frequency, or ascending if it must be.

        Beyond the tokens that were seen the smallest ids come first, because byte-pair ids are roughly in order of
        frequency.
        """
        chosen, fewest = kind_named(kind, WRITABLE), max(1, len(self.end_token_ids))
        rule = f"--vocab-size: expected {fewest}..{self.vocab_size}"
        require(fewest <= size <= self.vocab_size, rule, got=size)
        kept = order_tokens(self.counts, self.end_token_ids)[:size]
        made = VocabMap(kind=kind, convention=chosen.convention, target_ids=kept, target_vocab_size=self.vocab_size)
        return made.sorted() if chosen.ascending else made


def read_ranked(path: Path, tokens: Tokenization | None) -> Ranked:
    """Read the counts in a calibration's folder, a counts file or a token_freq.pt; ``tokens`` are the target's.

    Only a calibration knows by itself which ids end a turn.
    """
    require(path.exists(), f"{path}: no such file or folder")
    if path.suffix in (".pt", ".pth"):
        return _of_frequencies(path, tokens)
    saved = load_calibration(path)
    ends = saved.end_token_ids if tokens is None else tokens.end_token_ids
    require(len(ends) > 0, f"{path}: counts do not say which ids end a turn", remedy=_GIVE_TOKENIZER)
    if tokens is not None:
        _require_same(path, saved, tokens)
    return Ranked(
        counts=tuple(each.counts for each in saved.ranking.values()),
        judged=saved.judged.counts,
        judged_name="the counts that ranked them" if saved.scoring is None else "the half that did not rank them",
        end_token_ids=tuple(sorted(ends)),
    )


def _require_same(path: Path, saved: SavedCalibration, tokens: Tokenization) -> None:
    """Refuse counts of another tokenizer: their ids mean other tokens."""
    counts = next(iter(saved.ranking.values()))
    counted_by, given = counts.provenance.tokenizer_fingerprint, tokens.codec.fingerprint
    rule = f"{path}: these are counts of the tokenizer {counted_by[:12]}"
    same = given == counted_by or tokens.codec.has_fingerprint(counted_by)
    require(same, rule, got=given[:12], remedy="give the tokenizer that counted")
    rule = f"{path}: these are counts of {counts.vocab_size} tokens, and the target has as many"
    require(counts.vocab_size == tokens.vocab_size, rule, got=tokens.vocab_size)


def _of_frequencies(path: Path, tokens: Tokenization | None) -> Ranked:
    value = read_torch(path)
    require(is_frequencies(value), f"{path}: expected counts by token id, as speculators' token_freq.pt")
    require(tokens is not None, f"{path}: does not say how many tokens the target knows", remedy=_GIVE_TOKENIZER)
    assert tokens is not None
    lowest, highest, fewest = min(value), max(value), min(value.values())
    inside = lowest >= 0 and highest < tokens.vocab_size
    require(inside, f"{path}: ids must lie in 0..{tokens.vocab_size - 1}", got=f"{lowest}..{highest}")
    require(fewest >= 0, f"{path}: expected no negative count", got=fewest)
    counts = np.zeros(tokens.vocab_size, dtype=np.int64)
    counts[list(value)] = list(value.values())
    return Ranked(
        counts=(counts,),
        judged=counts,
        judged_name="the counts that ranked them",
        end_token_ids=tuple(sorted(tokens.end_token_ids)),
    )
