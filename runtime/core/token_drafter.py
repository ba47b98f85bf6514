"""TokenDrafter: the one draft loop. A source offers the next token, a stop rule decides whether to take it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.core.drafter import Draft
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.model import Clock, Pass, PromptPasses, stopped_clock
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.sampler import DraftToken, Sampler


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """A token known without a pass: it followed the last ``length`` tokens at their latest earlier place."""

    token_id: int
    length: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ModelStep:
    """A pass that a source can make: ``ask`` reads ``unread`` tokens and returns logits (K,) of what follows."""

    unread: int
    ask: Callable[[], Logits]
    index_map: IndexMap


TokenOffer = Match | ModelStep


class TokenSource:
    """Offers draft tokens one by one: a model, a layer that feeds on the target's features, a look-up.

    A source overrides what it needs; ``offers`` at least. One that reads features takes those of the prompt in
    ``begin`` and those of committed tokens in ``observe``. Between ``start`` and ``observe`` it feeds on states of its
    own, one set for every depth of the draft, and drops them in ``observe``: the target's take their place. Passes are
    made when `ModelStep.ask` is called, where they are timed; the features of the last pass are still valid then.
    """

    def begin(self, prompt_ids: Sequence[int], passes: PromptPasses) -> None:
        """Start an answer; see `Drafter.begin`."""

    def start(self, committed: Sequence[int]) -> None:
        """Start a draft that follows ``committed``: the next ``offers`` are at depth 0."""

    def offers(self, context_ids: Sequence[int]) -> Sequence[TokenOffer]:
        """Return the ways to get the token after ``context_ids``, the preferred one first; read no model yet.

        ``context_ids`` are what `start` was given and the tokens drafted since. Another source may have drafted some of
        them: a source that feeds on its own states reads those first and counts them in `ModelStep.unread`.
        """
        raise NotImplementedError

    def rewind(self, length: int) -> None:
        """Forget what was drafted; see `Drafter.rewind`."""

    def observe(self, outcome: Round, target_pass: Pass) -> None:
        """Learn what became of the draft; see `Drafter.observe`."""


class StopRule:
    """Decides for every token of a draft whether to get it. It never sees the tokens that are drawn."""

    def begin(self) -> None:
        """Start an answer."""

    def choose(self, offers: Sequence[TokenOffer], drafted: int) -> TokenOffer | None:
        """Return the offer to take for the token after ``drafted`` others; None ends the draft."""
        raise NotImplementedError

    def accepts(self, step: ModelStep, logits: Logits, seconds: float) -> bool:
        """Return whether to draw from what ``step`` gave in ``seconds``; False ends the draft before it."""
        return True

    def observe(self, outcome: Round) -> None:
        """Learn what became of the draft."""


class TokenDrafter:
    """Drafts by a source of tokens and a stop rule: a `Drafter`. ``clock`` times the source's passes."""

    def __init__(self, source: TokenSource, stop: StopRule, clock: Clock = stopped_clock) -> None:
        self._source = source
        self._stop = stop
        self._clock = clock
        self._seconds = 0.0

    def begin(self, prompt_ids: Sequence[int], passes: PromptPasses) -> None:
        """See `Drafter.begin`."""
        self._source.begin(prompt_ids, passes)
        self._stop.begin()

    def propose(self, committed: Sequence[int], limit: int, sampler: Sampler) -> Draft:
        """See `Drafter.propose`."""
        self._seconds = 0.0
        self._source.start(committed)
        context, tokens = list(committed), list[DraftToken]()
        while len(tokens) < limit:
            token = self._next(context, len(tokens), sampler)
            if token is None:
                break
            tokens.append(token)
            context.append(token.token_id)
        return Draft(tokens=tuple(tokens), seconds=self._seconds)

    def rewind(self, length: int) -> None:
        """See `Drafter.rewind`."""
        self._source.rewind(length)

    def observe(self, outcome: Round, target_pass: Pass) -> None:
        """See `Drafter.observe`."""
        self._source.observe(outcome, target_pass)
        self._stop.observe(outcome)

    def _next(self, context: Sequence[int], drafted: int, sampler: Sampler) -> DraftToken | None:
        """Return the next token, or None where the draft ends."""
        offer = self._stop.choose(self._source.offers(context), drafted)
        if offer is None:
            return None
        if isinstance(offer, Match):
            return DraftToken(token_id=offer.token_id)
        started = self._clock()
        logits = offer.ask()
        seconds = self._clock() - started
        self._seconds += seconds
        # The rule decides before the token is drawn: what it decides must not depend on which one it is.
        if not self._stop.accepts(offer, logits, seconds):
            return None
        return sampler.draw(logits, offer.index_map, context)
