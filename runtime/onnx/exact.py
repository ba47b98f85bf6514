"""Exact mode: a token's logits have the same bits in every pass, so that drafts cannot change a text.

Own kernels compute each row independently, and so do onnxruntime's float products with constant weights. Where
attention is ours, too, nothing else is needed, and exact mode costs nothing. In onnxruntime's attention
(GroupQueryAttention) the rounding of a row depends on the pass in three cases, which exact mode avoids. A single row
uses another kernel than several rows. A long pass is split into blocks of rows, and the last block may have a single
row: a block has twice as many rows as the head's width, or fewer if the second-level cache is smaller than 256 KB. Sums
over more than `WIDEST_HEAD` values are split at places that depend on the length of the text.

Recurrent layers compute their rows one after the other, each from the state before it, so that cutting a pass in two
changes no bit. A text that was rewound therefore goes on from bits that a fresh read would give.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.base.provider_names import CPU
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.model import prompt_pieces
from edgedraft.runtime.onnx.block_products import block_products
from edgedraft.runtime.onnx.kernel_choice import KernelChoice
from edgedraft.runtime.onnx.memory import OnnxModel
from edgedraft.runtime.onnx.signature import Signature

LONGEST_PASS = 32
"""Rows of the longest pass; a longer read takes several."""

WIDEST_HEAD = 128
"""Numbers of a key from which on attention's rounding depends on what is read behind a token."""

SWITCHED_OFF = "exact mode is off"
STOCK_KERNELS = "onnxruntime's kernels round a row by the rows beside it"
MIXED_ROWS = "the graph rounds a row by the rows beside it"

_TRIED_TOKENS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Exactness:
    """The state of exact mode in a session: on or off, and the reason if it is off.

    ``fp32`` says that weights are fp32: without exact mode, rows then differ by little more than fp32 rounding.
    """

    exact: bool
    reason: str | None = None
    fp32: bool = False

    @property
    def label(self) -> str:
        """Return what is promised of texts: "exact", "equal up to fp32 rounding" or "inexact"."""
        return "exact" if self.exact else "equal up to fp32 rounding" if self.fp32 else "inexact"

    def __str__(self) -> str:
        return self.label if self.reason is None else f"{self.label}: {self.reason}"


class ExactModel(OnnxModel):
    """A model whose passes have 2 to `LONGEST_PASS` rows; its graph must write keys and values in place."""

    def _logits_of(self, token_ids: Sequence[int]) -> Logits:
        if len(token_ids) == 1:
            return self._read_one(token_ids[0])
        logits, done = self._logits.rows(len(token_ids)), 0
        for piece in prompt_pieces(token_ids, LONGEST_PASS - 1):
            self._run(piece, self.length + done, logits[done : done + len(piece)])
            done += len(piece)
        return logits

    def _read_one(self, token_id: int) -> Logits:
        """Run a pass over two rows for one token; the other row does not change keys and values that are kept."""
        logits = self._logits.rows(2)
        if self.length + 1 < self._pass_end:
            # The other row writes behind the text, where the next token overwrites it.
            return self._run([token_id, token_id], self.length, logits)[:1]
        if self.length > 0:
            # No pass may go on behind it: the token before is read again, and writes what it wrote.
            return self._run([self.token_ids[-1], token_id], self.length - 1, logits)[1:]
        return self._run([token_id], 0, logits[:1])


def why_inexact(path: Path, signature: Signature, provider: str, kernels: KernelChoice) -> str | None:
    """Return why no model on the graph in ``path`` can be exact; None if no reason is known."""
    if provider != CPU:
        return "only passes on the CPU can be exact"
    if not signature.shared:
        return "the graph does not write keys and values in place"
    if kernels.independent_rows:
        return None
    if signature.states and not signature.checkpoints:
        return "the graph gives states after whole passes only, and attention would need two rows in every pass"
    widest = max((cache.width for cache in signature.caches), default=0)
    if widest > WIDEST_HEAD:
        return f"attention with heads of {widest} rounds a row by the rows beside it"
    if kernels.library is None and block_products(path):
        return STOCK_KERNELS
    return None


def require_exact(path: Path, exactness: Exactness, kernels: KernelChoice, *, required: bool) -> None:
    """Raise `EdgedraftError` if exact mode is ``required`` of the graph in ``path`` and not possible."""
    reason = exactness.reason
    why = f"{reason} ({kernels.reason})" if reason == STOCK_KERNELS else reason
    remedy = "leave exact mode out, or see docs/kernels.md"
    require(not required or exactness.exact, f"{path}: exact mode is not possible, {why}", remedy=remedy)


def rounds_rows_alike(model: OnnxModel) -> bool:
    """Return whether an exact, empty ``model`` gives tokens the same logits in one pass and one by one.

    This finds what the graph's operators do not show, such as activations that are scaled over all rows of a pass.
    """
    tokens = [place % model.vocab_size for place in range(min(_TRIED_TOKENS, model.context_length))]
    whole = model.read(tokens).logits.copy()
    model.rewind(0)
    alike = [np.array_equal(model.read([token]).logits[0], row) for token, row in zip(tokens, whole, strict=True)]
    model.rewind(0)
    return all(alike)
