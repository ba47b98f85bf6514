"""Deviation: how much the logits of a converted model differ from those of its source."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import require

REFUSED_ABOVE = 0.01
"""A deviation that no rounding of float32 explains: another model was exported."""

REPORTED_ABOVE = 0.001
"""A deviation that users are told about; equal graphs stay below a tenth of it."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CheckedRows:
    """Logits (rows, vocab) of the tokens from position ``start`` on; ``what`` names the kind of pass."""

    what: str
    start: int
    logits: Logits


@dataclass(frozen=True, kw_only=True, slots=True)
class Deviation:
    """The largest difference of a logit, as a share of the standard deviation of the source's logits.

    ``position`` is the index of the token, from 0. ``what`` names the kind of pass that read it. ``tokens`` is the
    number of tokens that were compared.
    """

    share: float
    position: int
    what: str
    tokens: int

    @property
    def told(self) -> str:
        """Return the difference and its token as a phrase for messages."""
        place = f"at token {self.position + 1} of {self.tokens}, read {self.what}"
        return f"{self.share:.2%} of their standard deviation {place}"


def largest_deviation(reference: Logits, passes: Iterable[CheckedRows]) -> Deviation:
    """Compare ``passes`` with the ``reference`` (tokens, vocab); logits of minus infinity must match exactly.

    Raises `EdgedraftError` where widths differ or the reference holds NaN.
    """
    finite = np.isfinite(reference)
    require(not bool(np.isnan(reference).any()), "the source's own logits are not numbers", remedy="check its weights")
    scale = float(reference[finite].std(dtype=np.float64))
    tokens, worst = len(reference), Deviation(share=0.0, position=0, what="in one pass", tokens=len(reference))
    for rows in passes:
        expected = reference[rows.start : rows.start + len(rows.logits)]
        if rows.logits.shape != expected.shape:
            raise EdgedraftError(f"logits of shape {expected.shape} expected", got=rows.logits.shape)
        shares = _largest_differences(expected, rows.logits) / scale
        row = int(shares.argmax())
        if not shares[row] <= worst.share:
            worst = Deviation(share=float(shares[row]), position=rows.start + row, what=rows.what, tokens=tokens)
    return worst


def _largest_differences(expected: Logits, logits: Logits) -> Logits:
    """Return the largest difference of each row, (rows,); infinite where only one of two numbers is finite."""
    with np.errstate(invalid="ignore"):
        differences = np.abs(expected - logits)
    differences[np.isneginf(expected) & np.isneginf(logits)] = 0.0
    largest: Logits = np.nan_to_num(differences, nan=np.inf).max(axis=-1)
    return largest
