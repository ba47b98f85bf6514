"""What to draft in a round: the policy interface, and the policies whose lengths need no clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edgedraft.runtime.base.arrays import Logits
from edgedraft.runtime.core.chooser import Chooser, Proposal
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.model import LanguageModel, catch_up, prefill
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.verify import confidence


class DraftPolicy(Protocol):
    """Decides what is drafted in each round of one answer.

    Whether and how long to draft may depend on everything settled or drafted before, and on a drafter's distribution,
    but never on the value just drawn from it: sampled text would leave the target's distribution.
    """

    def begin(self, prompt_ids: Sequence[int]) -> None:
        """A new answer starts; the target has read ``prompt_ids``."""
        ...

    def propose(self, settled: Sequence[int], room: int, chooser: Chooser) -> list[Proposal]:
        """Drafts that may follow ``settled``, at most ``room``; none means a plain step."""
        ...

    def learn(self, turn: Round) -> None:
        """What the target made of the last proposals."""
        ...


class NoDrafts:
    """Decoding by the target alone."""

    def begin(self, prompt_ids: Sequence[int]) -> None:
        """See `DraftPolicy.begin`."""

    def propose(self, settled: Sequence[int], room: int, chooser: Chooser) -> list[Proposal]:
        """See `DraftPolicy.propose`."""
        return []

    def learn(self, turn: Round) -> None:
        """See `DraftPolicy.learn`."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Drafter:
    """A model that proposes tokens, and what its ids mean to the target."""

    model: LanguageModel
    index_map: IndexMap

    def begin(self, prompt_ids: Sequence[int]) -> None:
        """Read the prompt, unless it is longer than the memory: nothing can be drafted then."""
        if len(prompt_ids) <= self.model.context_length:
            prefill(self.model, prompt_ids)

    def room(self, context_ids: Sequence[int]) -> int:
        """How many tokens may still be drafted after ``context_ids``."""
        return self.model.context_length - len(context_ids) + 1

    def score(self, context_ids: Sequence[int]) -> Logits:
        """Logits (K,) of what follows ``context_ids``; the memory must hold a beginning of them."""
        return catch_up(self.model, context_ids)

    def keep(self, length: int) -> None:
        """Forget what was drafted after the first ``length`` tokens."""
        self.model.rewind(min(self.model.length, length))


class FixedDrafts:
    """Always ``draft_length`` tokens by the drafter: the plan's policy."""

    def __init__(self, drafter: Drafter, draft_length: int) -> None:
        self._drafter = drafter
        self._draft_length = draft_length
        self._settled = 0

    def begin(self, prompt_ids: Sequence[int]) -> None:
        """See `DraftPolicy.begin`."""
        self._drafter.begin(prompt_ids)

    def propose(self, settled: Sequence[int], room: int, chooser: Chooser) -> list[Proposal]:
        """See `DraftPolicy.propose`."""
        proposals: list[Proposal] = []
        context = list(settled)
        self._settled = len(settled)
        while len(proposals) < min(self._draft_length, room) and self._drafter.room(context) > 0:
            logits = self._drafter.score(context)
            if self._stops(logits):
                break
            proposals.append(chooser.propose(logits, self._drafter.index_map, context))
            context.append(proposals[-1].token_id)
        return proposals

    def learn(self, turn: Round) -> None:
        """See `DraftPolicy.learn`."""
        self._drafter.keep(self._settled + turn.accepted)

    def _stops(self, logits: Logits) -> bool:
        """Whether to end the draft before choosing from ``logits``."""
        return False


class ConfidentDrafts(FixedDrafts):
    """Up to ``draft_length`` tokens, ending where the drafter's best token has a probability below ``p_min``.

    The probability is read before a token is drawn and does not depend on which one is. llama.cpp's `--draft-p-min`.
    """

    def __init__(self, drafter: Drafter, draft_length: int, p_min: float) -> None:
        super().__init__(drafter, draft_length)
        self._p_min = p_min

    def _stops(self, logits: Logits) -> bool:
        return confidence(logits) < self._p_min


NO_DRAFTS = NoDrafts()
