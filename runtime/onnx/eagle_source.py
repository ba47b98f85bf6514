"""EagleSource: draft tokens from an EAGLE layer, which reads the target's features and then its own states.

Row t of the layer joins the target's features of token t with token t + 1, and predicts token t + 2. After the last
token whose features are known, the layer continues from its own states, one row per draft.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgedraft.runtime.base.arrays import Float32Array, Logits
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.model import PREFILL_ROWS, Pass, PromptPasses, prompt_pieces
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.token_drafter import ModelStep, TokenOffer, TokenSource
from edgedraft.runtime.core.verify import accepted_prefix
from edgedraft.runtime.onnx.eagle import EagleGraph, EagleLayer
from edgedraft.runtime.onnx.features import features_of


class EagleSource(TokenSource):
    """Offers an EAGLE layer's tokens; ``index_map`` maps the rows of its head to the target's tokens.

    The first ``_settled`` rows of the layer were read with the target's features. The features of the last token that
    the target has read stay in ``_waiting`` until the next token is known. Rows of drafts come after them.
    """

    def __init__(self, layer: EagleLayer, index_map: IndexMap) -> None:
        self.layer = layer
        self.index_map = index_map
        self._known: list[int] = []  # the tokens whose features are settled or waiting
        self._last_committed = 0
        self._settled = 0
        self._waiting: list[Float32Array] = []
        self._newest: tuple[Logits, Float32Array] | None = None
        self._follows = True  # whether every token of the text so far is known

    def begin(self, prompt_ids: Sequence[int], passes: PromptPasses) -> None:
        """Read the prompt's features piece by piece, from where an earlier answer's cannot be reused."""
        self.rewind(accepted_prefix(self._known, prompt_ids))
        self._follows = len(prompt_ids) - 1 <= self.layer.context_length
        if not self._follows:
            return  # nothing can be drafted behind such a prompt
        for piece in passes.since(len(self._known)):
            held = len(self._known) - piece.start
            self._take(piece.token_ids[held:], features_of(piece.target_pass)[held : len(piece.token_ids)])
            self._settle(prompt_ids)

    def start(self, committed: Sequence[int]) -> None:
        """See `TokenSource.start`."""
        self._last_committed = committed[-1]

    def offers(self, context_ids: Sequence[int]) -> Sequence[TokenOffer]:
        """Return the layer's pass; the last draft is not read, so one token more than fits can be drafted."""
        rows = len(context_ids) - 1
        if not self._follows or rows > self.layer.context_length:
            return ()
        unread = rows - self.layer.length
        return (ModelStep(unread=unread, ask=lambda: self._ask(context_ids), index_map=self.index_map),)

    def rewind(self, length: int) -> None:
        """Forget tokens after the first ``length``; a row whose next token is removed needs its features again."""
        if length < len(self._known):
            if length <= self._settled:
                self._settled, self._waiting = max(length - 1, 0), []
            else:
                self._waiting = [np.concatenate(self._waiting)[: length - self._settled]]
            del self._known[self._settled + sum(map(len, self._waiting)) :]
        self.layer.rewind(self._settled)

    def observe(self, outcome: Round, target_pass: Pass) -> None:
        """Keep the features of the committed tokens, and forget the rows of the drafts."""
        self.layer.rewind(self._settled)
        tokens = [self._last_committed, *outcome.token_ids[: outcome.accepted]]
        if self._follows and len(self._known) + len(tokens) > self.layer.context_length:
            self._follows = False
        if not self._follows:
            return
        # A copy: the target's next pass overwrites them, and whether the layer is asked before that is not known.
        self._take(tokens, features_of(target_pass)[: len(tokens)].copy())
        if sum(map(len, self._waiting)) > PREFILL_ROWS:
            self._settle(self._known)

    def _take(self, token_ids: Sequence[int], features: Float32Array) -> None:
        self._known += token_ids
        if len(features):
            self._waiting.append(features)

    def _settle(self, text: Sequence[int]) -> None:
        """Read the waiting rows whose next token is in ``text``; copy the features of the rows that still wait."""
        self.layer.rewind(self._settled)
        waiting = np.concatenate(self._waiting) if self._waiting else np.empty((0, 0), dtype=np.float32)
        count = min(len(waiting), len(text) - 1 - self._settled)
        done = 0
        for ids in prompt_pieces(text[self._settled + 1 : self._settled + 1 + count]):
            self._newest = self.layer.read(ids, self.layer.fuse(waiting[done : done + len(ids)]))
            done += len(ids)
        self._settled += count
        self._waiting = [waiting[count:].copy()] if count < len(waiting) else []

    def _ask(self, context_ids: Sequence[int]) -> Logits:
        """Read the unread rows and return the logits of the token after ``context_ids``."""
        if self._waiting:
            self._settle(context_ids)
        while self.layer.length < len(context_ids) - 1 and self._newest is not None:
            self._newest = self.layer.read([context_ids[self.layer.length + 1]], self._newest[1])
        assert self._newest is not None
        return self._newest[0]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EagleSources:
    """Opens sources on one drafter's graphs, each with its own key/value cache."""

    graph: EagleGraph
    index_map: IndexMap

    def new_source(self) -> TokenSource:
        """Return a source that has read nothing."""
        return EagleSource(self.graph.new_layer(), self.index_map)
