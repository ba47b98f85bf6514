"""Sources of draft tokens: a separate model, combinations of sources, and factories that open them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.core.conversation import ConversationRows, RowsFactory
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.model import LanguageModel, ModelFactory, Pass, PromptPasses, last_pass, prefill
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.switching import longest_pass_end
from edgedraft.runtime.core.token_drafter import ModelStep, TokenOffer, TokenSource


class ModelTokenSource(TokenSource):
    """A separate draft model; ``index_map`` maps its ids to the target's.

    With ``rows``, tokens of the text that the map lacks are drafted, too.
    """

    def __init__(self, model: LanguageModel, index_map: IndexMap, rows: ConversationRows | None = None) -> None:
        self.model = model
        self.index_map = index_map
        self._rows = rows
        self._committed = 0

    def begin(self, prompt_ids: Sequence[int], passes: PromptPasses) -> None:
        """Read the prompt, unless it is longer than the cache: nothing can be drafted then."""
        passes.last_row()  # the target reads first: what it refuses, the drafter need not read
        if len(prompt_ids) <= self.model.context_length:
            prefill(self.model, prompt_ids, passes.before_pass)
        if self._rows is not None:
            self._rows.begin()

    def start(self, committed: Sequence[int]) -> None:
        """See `TokenSource.start`."""
        self._committed = len(committed)
        if self._rows is not None:
            self._rows.start(committed)

    def offers(self, context_ids: Sequence[int]) -> Sequence[TokenOffer]:
        """Return the model's pass. The last draft is not read, so one token more than fits can be drafted."""
        if len(context_ids) > longest_pass_end(self.model, self._committed, self.model.context_length):
            return ()
        unread = len(context_ids) - self.model.length
        index_map = self.index_map if self._rows is None else self._rows.index_map
        return (ModelStep(unread=unread, ask=lambda: self._ask(context_ids), index_map=index_map),)

    def rewind(self, length: int) -> None:
        """See `TokenSource.rewind`."""
        self.model.rewind(min(self.model.length, length))

    def _ask(self, context_ids: Sequence[int]) -> Logits:
        """Read the unread tokens and return the logits of the token after ``context_ids``."""
        done = last_pass(self.model, context_ids)
        last: Logits = done.logits[-1]
        return last if self._rows is None else self._rows.logits(done)


class FirstOf(TokenSource):
    """Several sources combined: the offers of all, those of the first source first."""

    def __init__(self, *sources: TokenSource) -> None:
        self._sources = sources

    def begin(self, prompt_ids: Sequence[int], passes: PromptPasses) -> None:
        """See `TokenSource.begin`."""
        for source in self._sources:
            source.begin(prompt_ids, passes)

    def start(self, committed: Sequence[int]) -> None:
        """See `TokenSource.start`."""
        for source in self._sources:
            source.start(committed)

    def offers(self, context_ids: Sequence[int]) -> Sequence[TokenOffer]:
        """See `TokenSource.offers`."""
        return [offer for source in self._sources for offer in source.offers(context_ids)]

    def rewind(self, length: int) -> None:
        """See `TokenSource.rewind`."""
        for source in self._sources:
            source.rewind(length)

    def observe(self, outcome: Round, target_pass: Pass) -> None:
        """See `TokenSource.observe`."""
        for source in self._sources:
            source.observe(outcome, target_pass)


class SourceFactory(Protocol):
    """A loaded drafter on which any number of sources can be opened, each with its own state."""

    def new_source(self) -> TokenSource:
        """Return a source that has read nothing."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ModelSources:
    """Opens sources over a separate draft model; ``index_map`` maps its ids to the target's.

    With ``rows``, each source drafts tokens of its text that the map lacks, too.
    """

    graph: ModelFactory
    index_map: IndexMap
    rows: RowsFactory | None = None

    def new_source(self) -> ModelTokenSource:
        """Return a source over a model with an empty cache."""
        rows = None if self.rows is None else self.rows.new_rows()
        return ModelTokenSource(self.graph.new_model(), self.index_map, rows)
