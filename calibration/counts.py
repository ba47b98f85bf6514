"""TokenCounts: how often each target token was seen. Counts are integers, so shards and resumed runs merge exactly."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgedraft.calibration.data.samples import GROUPS, add_digests, group_of
from edgedraft.runtime.base.arrays import Int64Array
from edgedraft.runtime.base.records import require

TEXT, DRAFTER, TARGET, ACCEPTED = "text", "drafter", "target", "accepted"
SOURCES = (TEXT, DRAFTER, TARGET, ACCEPTED)

RANKED_BY = (TARGET, DRAFTER)
"""The sources that rank tokens unless the user says otherwise, each breaking the ties of those before it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """The origin of counts: the source, whose tokens, under which options, and the digest of all prompts together.

    ``model`` names the model that generated ('' for text), ``options`` is plain JSON data. ``prompts_digest`` is the
    `add_digests` of the prompts' digests, so counts of parts add up to the counts of the whole.
    """

    source: str
    tokenizer_fingerprint: str
    model: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    prompts_digest: str = add_digests()

    def __post_init__(self) -> None:
        require(self.source in SOURCES, f"counts: source: expected one of {', '.join(SOURCES)}", got=self.source)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenCounts:
    """``by_group``: int64 (GROUPS, target_vocab_size), how often each token was seen in the prompts of each group.

    ``prompts_by_group``: int64 (GROUPS,). A prompt's group follows from its content (`group_of`), so the groups are
    independent samples of one domain: their spread tells how far the counts can be trusted.
    """

    by_group: Int64Array
    prompts_by_group: Int64Array
    provenance: Provenance

    def __post_init__(self) -> None:
        for name, array, dimensions in (("by_group", self.by_group, 2), ("prompts_by_group", self.prompts_by_group, 1)):
            valid = array.ndim == dimensions and len(array) == GROUPS and array.dtype == np.int64
            require(valid, f"counts: {name}: expected int64, {GROUPS} groups", got=f"{array.dtype} {array.shape}")
            require(bool((array >= 0).all()), f"counts: {name}: expected no negative count")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the many zeros, as counts are sent between processes."""
        seen = np.flatnonzero(self.by_group)
        return _unpacked, (
            self.by_group.shape,
            seen,
            self.by_group.ravel()[seen],
            self.prompts_by_group,
            self.provenance,
        )

    @property
    def counts(self) -> Int64Array:
        """int64 (target_vocab_size,), over all groups."""
        total: Int64Array = self.by_group.sum(axis=0)
        return total

    @property
    def vocab_size(self) -> int:
        """Return the number of tokens that the target knows."""
        return int(self.by_group.shape[1])

    @property
    def prompts(self) -> int:
        """Return the number of counted prompts."""
        return int(self.prompts_by_group.sum())

    @property
    def tokens(self) -> int:
        """Return the number of counted tokens."""
        return int(self.by_group.sum())

    def fitted(self, vocab_size: int) -> "TokenCounts":
        """Return the counts for a target with ``vocab_size`` logits: models of one tokenizer are padded differently.

        Raises `EdgedraftError` where a counted token has no place there.
        """
        if vocab_size == self.vocab_size:
            return self
        rule = f"counts: expected tokens below {vocab_size}"
        require(not self.by_group[:, vocab_size:].any(), rule, got=self.vocab_size)
        by_group = np.zeros((GROUPS, vocab_size), dtype=np.int64)
        shared = min(vocab_size, self.vocab_size)
        by_group[:, :shared] = self.by_group[:, :shared]
        return replace(self, by_group=by_group)

    def __add__(self, other: "TokenCounts") -> "TokenCounts":
        mine, its = self.provenance, other.provenance
        same = mine.tokenizer_fingerprint == its.tokenizer_fingerprint and self.vocab_size == other.vocab_size
        require(same, "counts of different tokenizers cannot be added")
        for name in ("source", "model", "options"):
            own, other_value = getattr(mine, name), getattr(its, name)
            require(own == other_value, f"counts: expected {name} {own or 'none'}", got=other_value or "none")
        return TokenCounts(
            by_group=self.by_group + other.by_group,
            prompts_by_group=self.prompts_by_group + other.prompts_by_group,
            provenance=replace(mine, prompts_digest=add_digests(mine.prompts_digest, its.prompts_digest)),
        )


def _unpacked(
    shape: tuple[int, int], seen: Int64Array, times: Int64Array, prompts_by_group: Int64Array, provenance: Provenance
) -> TokenCounts:
    by_group = np.zeros(shape, dtype=np.int64)
    by_group.ravel()[seen] = times
    return TokenCounts(by_group=by_group, prompts_by_group=prompts_by_group, provenance=provenance)


def no_counts(vocab_size: int, provenance: Provenance) -> TokenCounts:
    """Return empty counts, to which others are added."""
    by_group = np.zeros((GROUPS, vocab_size), dtype=np.int64)
    return TokenCounts(by_group=by_group, prompts_by_group=np.zeros(GROUPS, dtype=np.int64), provenance=provenance)


def count_tokens(answers: Iterable[tuple[str, Sequence[int]]], vocab_size: int, provenance: Provenance) -> TokenCounts:
    """Count ``answers``, pairs of a prompt's digest and the target ids that followed it.

    Raises `EdgedraftError` at an id outside the vocabulary.
    """
    counts = no_counts(vocab_size, provenance)
    digests = [provenance.prompts_digest]
    for digest, token_ids in answers:
        ids = np.asarray(token_ids, dtype=np.int64)
        outside = ids[(ids < 0) | (ids >= vocab_size)]
        require(
            not len(outside),
            f"counts: token ids must lie in 0..{vocab_size - 1}",
            got=int(outside[0]) if len(outside) else None,
        )
        np.add.at(counts.by_group[group_of(digest)], ids, 1)
        counts.prompts_by_group[group_of(digest)] += 1
        digests.append(digest)
    return replace(counts, provenance=replace(provenance, prompts_digest=add_digests(*digests)))


def order_tokens(counts: Sequence[Int64Array], first_ids: Sequence[int]) -> Int64Array:
    """Return all token ids, the most frequent first, int64 (vocab,).

    ``first_ids`` (the end of turn) lead; then the counts, int64 (vocab,) each, decide in the order given, each breaking
    the ties of those before it; among tokens never seen the smaller id leads, because byte-pair ids are roughly in
    order of frequency.
    """
    require(len(counts) > 0, "ranking: expected at least one count")
    vocab_size = len(counts[0])
    first = np.unique(np.asarray(first_ids, dtype=np.int64))
    outside = first[(first < 0) | (first >= vocab_size)]
    require(not len(outside), f"ranking: leading ids must lie in 0..{vocab_size - 1}", got=outside[:1])
    order = np.lexsort([np.negative(part) for part in reversed(counts)])  # stable: ties stay in order of id
    led = np.zeros(vocab_size, dtype=np.bool_)
    led[first] = True
    return np.concatenate([first, order[~led[order]]]).astype(np.int64)
