"""Drafting by looking up: what followed the last few tokens when they stood in the prompt or the answer before."""

from collections.abc import Sequence

from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.model import PromptPasses
from edgedraft.runtime.core.token_drafter import Match, TokenOffer, TokenSource

SHORTEST, LONGEST = 2, 5


class NgramIndex:
    """The n-grams of a growing text, each with the place behind its latest occurrence."""

    def __init__(self, shortest: int = SHORTEST, longest: int = LONGEST) -> None:
        require(1 <= shortest <= longest, "n-grams: expected 1 <= shortest <= longest", got=(shortest, longest))
        self._lengths = range(longest, shortest - 1, -1)
        self._token_ids: list[int] = []
        self._places: dict[tuple[int, ...], int] = {}

    def extend(self, text_ids: Sequence[int]) -> None:
        """Add the rest of ``text_ids``, which begin with everything added before."""
        for place in range(len(self._token_ids), len(text_ids)):
            for length in self._lengths:
                if length <= place:
                    self._places[tuple(self._token_ids[place - length :])] = place
            self._token_ids.append(text_ids[place])

    def find(self, context_ids: Sequence[int]) -> Match | None:
        """Return what followed the longest known ending of ``context_ids``; None where no ending is known."""
        for length in self._lengths:
            place = self._places.get(tuple(context_ids[-length:])) if length <= len(context_ids) else None
            if place is not None:
                return Match(token_id=self._token_ids[place], length=length)
        return None


class NgramSource(TokenSource):
    """Offers what followed the last few tokens before, without a model; prompt-lookup decoding."""

    def __init__(self) -> None:
        self._index = NgramIndex()

    def begin(self, prompt_ids: Sequence[int], passes: PromptPasses) -> None:
        """See `TokenSource.begin`."""
        self._index = NgramIndex()

    def start(self, committed: Sequence[int]) -> None:
        """See `TokenSource.start`. Drafts are not taken in: they may be refused."""
        self._index.extend(committed)

    def offers(self, context_ids: Sequence[int]) -> Sequence[TokenOffer]:
        """See `TokenSource.offers`."""
        match = self._index.find(context_ids)
        return () if match is None else (match,)
