"""Absolute ids or offsets: deciding what a file's numbers mean, only where one reading is possible.

A wrong reading still looks like a map: ids 0..K-1 read as offsets mean 0, 2, 4... So a file's name decides nothing;
where the numbers fit both readings, the user has to say.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgedraft.exporter.vocab.kinds import ABSOLUTE, CONVENTIONS, OFFSET
from edgedraft.runtime.base.arrays import BoolArray, Ids
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import require

_FEW = 100
"""Lists of ids occur with one repeat in this many entries."""

_AS = {ABSOLUTE: "as ids", OFFSET: "as offsets"}

ASK = "say which it is with --kind absolute or --kind offset"
_ASK_MORE = f"{ASK}; the target's --target-vocab-size or --tokenizer may decide it too"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Numbers:
    """Content of a file: ``values`` int64 (entries,), and ``kept`` (vocab,), which marks the tokens of the map.

    ``kinds``: what the file may be. ``absolute_by_format``: the format knows nothing but ids, so only a plain
    contradiction raises doubt.
    """

    kinds: tuple[str, ...]
    values: Ids
    kept: BoolArray | None = None
    vocab_size: int | None = None
    absolute_by_format: bool = False


def as_ids(values: Ids, convention: str) -> Ids:
    """Return the absolute ids of values in a convention."""
    return values + np.arange(len(values)) if convention == OFFSET else values


def as_values(ids: Ids, convention: str) -> Ids:
    """Return the numbers that stand for ids in a convention, the inverse of `as_ids`."""
    return ids - np.arange(len(ids)) if convention == OFFSET else ids


def decide(numbers: Numbers, declared: str | None = None) -> str:
    """Return the convention of the numbers: the ``declared`` one, or the only one in which they are a map.

    They are a map when the ids are unique, lie in the vocabulary and are those that ``kept`` marks. A second reading
    that fails by few repeats counts as possible too, because lists with a token twice occur.
    """
    faults = {name: _faults(as_ids(numbers.values, name), numbers) for name in CONVENTIONS}
    if declared is not None:
        require(not faults[declared].fatal, f"{_AS[declared]} this is no map: {faults[declared]}")
        return declared
    possible = [name for name in CONVENTIONS if faults[name].none]
    if numbers.absolute_by_format:
        return _decide_list(faults)
    if not possible:
        reasons = "; ".join(f"{_AS[name]}, {faults[name]}" for name in CONVENTIONS)
        repairable = any(not each.fatal for each in faults.values())
        raise EdgedraftError(f"neither reading is a map: {reasons}", remedy=ASK if repairable else None)
    doubtful = all(faults[name].none or faults[name].few for name in CONVENTIONS)
    if doubtful and len(numbers.values) > 1:
        raise EdgedraftError(f"two readings are possible: {_two_readings(numbers.values)}", remedy=_ASK_MORE)
    return possible[0]


def _decide_list(faults: "dict[str, _Faults]") -> str:
    """Return the convention of a format that holds ids, unless only offsets would be a map."""
    absolute = faults[ABSOLUTE]
    doubtful = not absolute.none and not absolute.few and faults[OFFSET].none
    rule = f"expected ids, but {absolute}; as offsets they are a map"
    require(not doubtful, rule, remedy=ASK)
    require(not absolute.fatal, f"expected ids, but {absolute}")
    return ABSOLUTE


@dataclass(frozen=True, kw_only=True, slots=True)
class _Faults:
    """Reasons why ids are no map: ``repeats`` can be repaired, a ``fatal`` one cannot.

    ``few``: the repeats are so few that a list of ids may hold them. Where offsets are taken for ids, every run of
    neighbours repeats one, so these are many.
    """

    repeats: int = 0
    few: bool = False
    fatal: str = ""

    @property
    def none(self) -> bool:
        return not self.repeats and not self.fatal

    def __str__(self) -> str:
        return self.fatal or f"{self.repeats} repeat an earlier one"


def _faults(ids: Ids, numbers: Numbers) -> _Faults:
    lowest, highest = int(ids.min()), int(ids.max())
    if lowest < 0:
        return _Faults(fatal=f"{lowest} is negative")
    if numbers.vocab_size is not None and highest >= numbers.vocab_size:
        return _Faults(fatal=f"{highest} lies outside 0..{numbers.vocab_size - 1}")
    unique = np.unique(ids)
    if numbers.kept is not None and not np.array_equal(unique, np.flatnonzero(numbers.kept)):
        return _Faults(fatal="they are not the tokens that t2d marks")
    repeats = len(ids) - len(unique)
    return _Faults(repeats=repeats, few=0 < repeats <= max(1, len(ids) // _FEW))


def _two_readings(values: Ids) -> str:
    return ", ".join(f"{_AS[name]} {_first_few(as_ids(values, name))}" for name in CONVENTIONS)


def _first_few(ids: Ids) -> str:
    return " ".join(map(str, ids[:4].tolist())) + ("..." if len(ids) > 4 else "")


def whole_numbers(values: Any, what: str) -> Ids:
    """Return one row of whole numbers as int64; refuse anything else."""
    array = np.asarray(values)
    require(array.size > 0, f"{what}: expected at least one number", got="none")
    whole = array.ndim == 1 and array.dtype.kind in "iu"
    require(whole, f"{what}: expected one row of whole numbers", got=f"{array.dtype} {list(array.shape)}")
    converted: Ids = array.astype(np.int64)
    return converted


def marks(values: Any, what: str) -> BoolArray:
    """Return one row of booleans, or of zeros and ones, as the mask of the marked tokens."""
    array = np.asarray(values)
    fits = array.ndim == 1 and array.dtype.kind in "biu" and bool(np.isin(array, (0, 1)).all())
    require(fits, f"{what}: expected one row of yes and no", got=f"{array.dtype} {list(array.shape)}")
    mask: BoolArray = array.astype(np.bool_)
    return mask
