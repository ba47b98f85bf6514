"""Rows from the conversation: tokens of the prompt and the answer that the draft list lacks can be drafted, too.

A trimmed head scores the tokens of its list. Names and numbers of the text at hand are seldom on it, and are likely to
come again. Their rows of the full head are multiplied separately, and decoding goes on as if the list held them.
Source: NanoSpec's idea of a vocabulary that follows the text; here nothing is trained.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from edgedraft.runtime.base.arrays import Ids, Logits
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.model import Pass

MOST_ROWS = 1024
"""Rows that a plan may ask for at most."""


class ConversationTokens:
    """The most recent distinct tokens of a growing text that a list lacks, ``limit`` of them at most.

    They follow from the text alone, so that replaying a text gives the same ones. ``scored`` counts the rows of the
    full head: tokens from there on have none. Adding a token takes the same time however long the text is.
    """

    def __init__(self, listed: IndexMap, scored: int, limit: int) -> None:
        require(1 <= limit <= MOST_ROWS, f"conversation rows: expected 1..{MOST_ROWS}", got=limit)
        self._lacks = np.arange(listed.target_vocab_size) < scored
        self._lacks[listed.target_ids] = False
        self._limit = limit
        self._recent: dict[int, None] = {}  # the oldest first
        self._read = 0

    def clear(self) -> None:
        """Start another text."""
        self._recent, self._read = {}, 0

    def extend(self, text_ids: Sequence[int]) -> bool:
        """Add the rest of ``text_ids``, which begin with everything added before; return whether the tokens changed."""
        before, changed = len(self._recent), False
        for token_id in text_ids[self._read :]:
            if not self._lacks[token_id]:
                continue
            changed |= token_id not in self._recent
            self._recent.pop(token_id, None)
            self._recent[token_id] = None
            if len(self._recent) > self._limit:
                del self._recent[next(iter(self._recent))]
        self._read = len(text_ids)
        return changed or len(self._recent) != before

    @property
    def token_ids(self) -> Ids:
        """Return the tokens, ascending."""
        return np.array(sorted(self._recent), dtype=np.int64)


class RowProduct(Protocol):
    """Computes the drafter's logits of chosen tokens, from rows of its full head; one for each text."""

    def choose(self, token_ids: Ids) -> None:
        """Score these tokens from now on, in this order."""
        ...

    def logits(self, drafter_pass: Pass, row: int) -> Logits:
        """Return the logits (tokens,) of the chosen tokens after the given row of a pass."""
        ...


class ConversationRows:
    """A drafter's list with the rows of the conversation.

    The tokens are chosen in `start`, before anything is drafted, from committed text alone: a draft is then drawn from
    a distribution that does not depend on it, so that drawn text stays lossless.
    """

    def __init__(self, listed: IndexMap, tokens: ConversationTokens, product: RowProduct) -> None:
        self._listed, self._tokens, self._product = listed, tokens, product
        self._choose()

    def begin(self) -> None:
        """Start another text."""
        self._tokens.clear()
        self._choose()

    def start(self, committed: Sequence[int]) -> None:
        """Choose the tokens for a draft that follows ``committed``."""
        if self._tokens.extend(committed):
            self._choose()

    @property
    def index_map(self) -> IndexMap:
        """Return the map of list and conversation together; equal logits go to the smaller id, as in a full head."""
        return self._both

    def logits(self, drafter_pass: Pass) -> Logits:
        """Return the logits (tokens of `index_map`,) of what follows a pass."""
        last = len(drafter_pass.logits) - 1
        by_list: Logits = drafter_pass.logits[last]
        if self._from_list.all():
            return by_list
        both = np.empty(len(self._from_list), dtype=by_list.dtype)
        both[self._from_list] = by_list
        both[~self._from_list] = self._product.logits(drafter_pass, last)
        return both

    def _choose(self) -> None:
        added = self._tokens.token_ids
        self._product.choose(added)
        # Few tokens are put into a long list in order: sorting both again would take as long as a pass.
        listed = self._listed.target_ids
        places = np.searchsorted(listed, added)
        ids = np.insert(listed, places, added)
        self._both = IndexMap(target_ids=ids, target_vocab_size=self._listed.target_vocab_size)
        self._from_list = np.ones(len(ids), dtype=bool)
        self._from_list[places + np.arange(len(added))] = False


class RowsFactory(Protocol):
    """A drafter's full head, of which any number of texts can use rows."""

    def new_rows(self) -> ConversationRows:
        """Return the rows of a new text."""
        ...
