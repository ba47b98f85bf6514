"""Drafting by looking up: what followed the last few tokens when they stood in the prompt or the answer before."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.chooser import Chooser, Proposal
from edgedraft.runtime.core.drafting import Drafter
from edgedraft.runtime.core.rounds import Round

SHORTEST, LONGEST = 2, 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """The token that followed the last ``length`` tokens at their latest earlier place."""

    token_id: int
    length: int


class NgramIndex:
    """The n-grams of a growing text, each with the place behind its latest occurrence."""

    def __init__(self, shortest: int = SHORTEST, longest: int = LONGEST) -> None:
        require(1 <= shortest <= longest, "n-grams: expected 1 <= shortest <= longest", got=(shortest, longest))
        self._lengths = range(longest, shortest - 1, -1)
        self._token_ids: list[int] = []
        self._places: dict[tuple[int, ...], int] = {}

    def extend(self, text_ids: Sequence[int]) -> None:
        """Take in what ``text_ids``, which begin with everything taken in before, has more."""
        for place in range(len(self._token_ids), len(text_ids)):
            for length in self._lengths:
                if length <= place:
                    self._places[tuple(self._token_ids[place - length :])] = place
            self._token_ids.append(text_ids[place])

    def find(self, context_ids: Sequence[int]) -> Match | None:
        """What followed the longest known ending of ``context_ids``; None where no ending is known."""
        for length in self._lengths:
            place = self._places.get(tuple(context_ids[-length:])) if length <= len(context_ids) else None
            if place is not None:
                return Match(token_id=self._token_ids[place], length=length)
        return None


class NgramDrafts:
    """Up to ``draft_length`` looked-up tokens a round, no model; prompt-lookup decoding."""

    def __init__(self, draft_length: int) -> None:
        self._draft_length = draft_length
        self._index = NgramIndex()

    def begin(self, prompt_ids: Sequence[int]) -> None:
        """See `DraftPolicy.begin`."""
        self._index = NgramIndex()

    def propose(self, settled: Sequence[int], room: int, chooser: Chooser) -> list[Proposal]:
        """See `DraftPolicy.propose`."""
        self._index.extend(settled)
        context = list(settled)
        while len(context) - len(settled) < min(self._draft_length, room):
            match = self._index.find(context)
            if match is None:
                break
            context.append(match.token_id)
        return [Proposal(token_id=token_id) for token_id in context[len(settled) :]]

    def learn(self, turn: Round) -> None:
        """See `DraftPolicy.learn`."""


class NgramOrDrafter:
    """Up to ``draft_length`` tokens a round: looked up where the text repeats itself, else by the drafter."""

    def __init__(self, drafter: Drafter, draft_length: int) -> None:
        self._drafter = drafter
        self._draft_length = draft_length
        self._index = NgramIndex()
        self._settled = 0

    def begin(self, prompt_ids: Sequence[int]) -> None:
        """See `DraftPolicy.begin`."""
        self._index = NgramIndex()
        self._drafter.begin(prompt_ids)

    def propose(self, settled: Sequence[int], room: int, chooser: Chooser) -> list[Proposal]:
        """See `DraftPolicy.propose`."""
        self._index.extend(settled)
        self._settled = len(settled)
        proposals: list[Proposal] = []
        context = list(settled)
        while len(proposals) < min(self._draft_length, room):
            match = self._index.find(context)
            if match is not None:
                proposals.append(Proposal(token_id=match.token_id))
            elif self._drafter.room(context) > 0:
                logits = self._drafter.score(context)
                proposals.append(chooser.propose(logits, self._drafter.index_map, context))
            else:
                break
            context.append(proposals[-1].token_id)
        return proposals

    def learn(self, turn: Round) -> None:
        """See `DraftPolicy.learn`."""
        self._drafter.keep(self._settled + turn.accepted)
