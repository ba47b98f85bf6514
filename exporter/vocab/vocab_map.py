"""VocabMap: the target tokens that a token-map file keeps, in the file's order, with checks and repairs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgedraft.exporter.vocab.kinds import KINDS
from edgedraft.runtime.base.arrays import Ids
from edgedraft.runtime.base.records import require

REPAIR = "edgedraft vocab convert --repair drops repeats and, with --tokenizer, adds the ids that end a turn"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class VocabMap:
    """A map as read. ``target_ids``: int64 (entries,), absolute, in the file's order, that of the drafter's rows.

    ``kind`` is the file's (`KINDS`), ``convention`` what its numbers were read as; ``target_vocab_size`` is None where
    neither the file nor the user said it. Repeated ids are kept; `problems` reports them.
    """

    kind: str
    convention: str
    target_ids: Ids
    target_vocab_size: int | None = None

    def __post_init__(self) -> None:
        ids, size = self.target_ids, self.target_vocab_size
        require(ids.ndim == 1 and ids.dtype == np.int64, "vocab map: expected one row of int64", got=ids.dtype)
        require(len(ids) > 0, "vocab map: expected at least one id", got="none")
        lowest, highest = int(ids.min()), int(ids.max())
        top = "" if size is None else size - 1
        inside = lowest >= 0 and (size is None or highest < size)
        require(inside, f"vocab map: ids must lie in 0..{top}", got=f"{lowest}..{highest}")

    @property
    def entries(self) -> int:
        """Return the number of ids in the file, repeats included."""
        return len(self.target_ids)

    @property
    def distinct(self) -> int:
        """Return how many tokens can really be drafted."""
        return len(np.unique(self.target_ids))

    @property
    def ascending(self) -> bool:
        """Check whether ids strictly increase, as engines with a ``t2d`` mask need it."""
        return bool(np.all(np.diff(self.target_ids) > 0))

    @property
    def problems(self) -> tuple[str, ...]:
        """List what makes this map wrong or doubtful, a sentence each."""
        problems = []
        if self.distinct < self.entries:
            problems.append(_repeats(self.target_ids))
        kind = KINDS[self.kind]
        if self.convention != kind.convention:
            readers = f"readers of {kind.file} take them as {kind.convention}"
            problems.append(f"it holds {self.convention} ids, but {readers}")
        if kind.ascending and not self.ascending:
            problems.append(f"its ids do not ascend, as readers of {kind.file} expect")
        if self.entries > 1 and np.array_equal(self.target_ids, np.arange(self.entries)):
            problems.append(f"its ids are just 0..{self.entries - 1}: a map that was never filled in looks like this")
        return tuple(problems)

    def require_distinct(self) -> None:
        """Refuse a map that holds a token twice: no format or head can give one token two rows."""
        rule = f"vocab map: expected every id once, but {_repeats(self.target_ids)}"
        require(self.distinct == self.entries, rule, remedy=REPAIR)

    def missing(self, token_ids: Sequence[int]) -> tuple[int, ...]:
        """Return those of ``token_ids`` that the map lacks."""
        ids = np.asarray(token_ids, dtype=np.int64)
        return tuple(ids[~np.isin(ids, self.target_ids)].tolist())

    def with_vocab_size(self, size: int) -> "VocabMap":
        """Return the map for a target of ``size`` tokens; refuse one that was made for another number."""
        known = self.target_vocab_size
        rule = f"vocab map: it was made for a target of {known} tokens"
        remedy = "give the target's own folder, config.json included: a tokenizer alone may know fewer than the model"
        require(known in (None, size), rule, got=size, remedy=remedy)
        return replace(self, target_vocab_size=size)

    def sorted(self) -> "VocabMap":
        """Return the same tokens in ascending order; rows of a head trained for the old order must move with them."""
        return replace(self, target_ids=np.sort(self.target_ids))

    def repaired(self, end_token_ids: Sequence[int] = ()) -> "VocabMap":
        """Return the map without repeats (the first stays) and with ``end_token_ids``, first unless ids ascend."""
        ids = np.concatenate([np.asarray(self.missing(end_token_ids), dtype=np.int64), self.target_ids])
        _, firsts = np.unique(ids, return_index=True)
        kept = ids[np.sort(firsts)]
        return replace(self, target_ids=np.sort(kept) if self.ascending else kept)


def _repeats(ids: Ids) -> str:
    """Say how many entries repeat an id, and which is the first."""
    # places: for each entry, which of the unique ids it is; firsts[places]: where that id stands first.
    _, firsts, places = np.unique(ids, return_index=True, return_inverse=True)
    again = np.flatnonzero(firsts[places] != np.arange(len(ids)))
    if not len(again):
        return "no entry repeats an id"
    first = int(again[0])
    many = f"{len(again)} of {len(ids)} entries repeat an id"
    return f"{many}: {ids[first]} stands at {firsts[places[first]]} and at {first}"
