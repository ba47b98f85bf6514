"""TokenCounts: how often each target token was generated. Counts add, so shards and resumed runs merge exactly."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgedraft.runtime.errors import EdgedraftError
from edgedraft.runtime.records import require
from edgedraft.runtime.tensors import read_tensors, write_tensors

SOURCES = ("text", "drafter", "target", "accepted")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenCounts:
    """``counts``: int64 (target_vocab_size,), how often each token was seen in ``prompts`` answers from ``source``."""

    counts: npt.NDArray[np.int64]
    prompts: int
    source: str
    tokenizer_fingerprint: str

    def __post_init__(self) -> None:
        require(self.source in SOURCES, f"counts: source: expected one of {', '.join(SOURCES)}", got=self.source)
        require(self.counts.ndim == 1 and self.counts.dtype == np.int64, "counts: expected one row of int64")
        require(bool((self.counts >= 0).all()), "counts: expected no negative count")

    @property
    def tokens(self) -> int:
        """All tokens counted."""
        return int(self.counts.sum())

    def __add__(self, other: "TokenCounts") -> "TokenCounts":
        same = self.tokenizer_fingerprint == other.tokenizer_fingerprint and len(self.counts) == len(other.counts)
        require(same, "counts of different tokenizers cannot be added")
        require(self.source == other.source, f"counts: expected source {self.source}", got=other.source)
        return TokenCounts(
            counts=self.counts + other.counts,
            prompts=self.prompts + other.prompts,
            source=self.source,
            tokenizer_fingerprint=self.tokenizer_fingerprint,
        )


def count_tokens(
    answers: Iterable[Sequence[int]], vocab_size: int, source: str, tokenizer_fingerprint: str
) -> TokenCounts:
    """Count the tokens of ``answers``, one sequence of target ids a prompt."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    prompts = 0
    for answer in answers:
        counts += np.bincount(np.asarray(answer, dtype=np.int64), minlength=vocab_size)
        prompts += 1
    return TokenCounts(counts=counts, prompts=prompts, source=source, tokenizer_fingerprint=tokenizer_fingerprint)


def write_counts(path: Path, counts: TokenCounts) -> None:
    """Save counts as safetensors with their provenance in the header."""
    metadata = {
        "prompts": str(counts.prompts),
        "source": counts.source,
        "tokenizer_fingerprint": counts.tokenizer_fingerprint,
    }
    write_tensors(path, {"counts": counts.counts}, metadata)


def read_counts(path: Path) -> TokenCounts:
    """Read what `write_counts` wrote."""
    tensors, metadata = read_tensors(path)
    try:
        return TokenCounts(
            counts=tensors["counts"],
            prompts=int(metadata["prompts"]),
            source=metadata["source"],
            tokenizer_fingerprint=metadata["tokenizer_fingerprint"],
        )
    except (KeyError, ValueError) as error:
        raise EdgedraftError(f"{path}: not a token-counts file", got=f"no {error}") from error
    except EdgedraftError as error:
        raise EdgedraftError(f"{path}: {error.rule}", got=error.got) from error
