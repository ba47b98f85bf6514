"""Drafter: the port behind which everything drafts, whether it is a model, a layer on the target or a look-up.

A drafter against the port, complete. Its target counts (after 4 comes 5) and shows as features what it read:

>>> import numpy as np
>>> from edgedraft.runtime.core.decoding import speculative_rounds
>>> from edgedraft.runtime.core.model import Pass
>>> from edgedraft.runtime.core.sampler import DraftToken
>>> from edgedraft.runtime.core.verify import accepted_prefix
>>> class Counting:
...     context_length = 12
...     length = property(lambda self: len(self.token_ids))
...     def __init__(self):
...         self.token_ids = []
...     def read(self, token_ids):
...         self.token_ids += token_ids
...         ids = np.array(token_ids)
...         return Pass(logits=np.eye(10, dtype=np.float32)[(ids + 1) % 10], features=ids)
...     def rewind(self, length):
...         del self.token_ids[length:]
>>> class CountingDrafter:
...     def __init__(self):
...         self.token_ids, self.states = [], []  # a state for every token that the target has read
...     def begin(self, prompt_ids, passes):
...         self.rewind(accepted_prefix(self.token_ids, prompt_ids))
...         for piece in passes.since(len(self.states)):
...             self.rewind(piece.start)  # the first piece may start earlier than asked
...             self.states += list(piece.target_pass.features)
...         self.token_ids = list(prompt_ids)
...     def propose(self, committed, limit, sampler):
...         self.token_ids = list(committed[:-1])
...         ids = [int(self.states[-1] + 2 + place) % 10 for place in range(min(3, limit))]
...         return Draft(tokens=tuple(DraftToken(token_id=token_id) for token_id in ids))
...     def observe(self, outcome, target_pass):
...         self.states += list(target_pass.features[: outcome.accepted + 1])
...     def rewind(self, length):
...         del self.token_ids[length:], self.states[length:]
>>> [round_.token_ids for round_ in speculative_rounds(Counting(), CountingDrafter(), [1, 2, 3])]
[(4,), (5, 6, 7, 8), (9, 0, 1, 2), (3,)]

A drafter that gives its tokens one by one is better written as a `TokenSource`: every stop rule then works with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edgedraft.runtime.core.model import Pass, PromptPasses
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.sampler import DraftToken, Sampler


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Draft:
    """Tokens that may follow the committed text, and the seconds that the drafter's passes took for them."""

    tokens: tuple[DraftToken, ...] = ()
    seconds: float = 0.0

    @property
    def token_ids(self) -> list[int]:
        """Return the drafted tokens as the target's ids."""
        return [token.token_id for token in self.tokens]


class Drafter(Protocol):
    """Drafts for one answer at a time, and keeps what it needs for the next.

    The loop calls ``begin`` once, then for each round ``propose``, ``rewind`` and ``observe``. An answer may end after
    any round; ``begin`` then starts another, with any prompt. In between, others may have used the target.

    Whether and how long to draft may depend on everything committed or drafted before, and on a drafter's distribution,
    but never on the token just drawn from it: sampled text would leave the target's distribution.
    """

    def begin(self, prompt_ids: Sequence[int], passes: PromptPasses) -> None:
        """Start an answer to ``prompt_ids``.

        A drafter that reads the target's features takes them from ``passes.since(length)``, ``length`` being how much
        of the prompt its own state covers. The passes that nobody asks for are made afterwards.
        """
        ...

    def propose(self, committed: Sequence[int], limit: int, sampler: Sampler) -> Draft:
        """Draft at most ``limit`` tokens to follow ``committed``; none means a plain step.

        The target has read all of ``committed`` but its last token. Its last pass is still valid here.
        """
        ...

    def rewind(self, length: int) -> None:
        """Forget what is known beyond the first ``length`` tokens; knowing less is no error.

        After a round ``length`` leaves out the refused drafts and the last committed token, which the target has not
        read either. Accepted drafts stay: a drafter that fed on its own states drops those in ``observe``.
        """
        ...

    def observe(self, outcome: Round, target_pass: Pass) -> None:
        """Learn what became of the last draft.

        ``target_pass`` read the last committed token and then the draft: its row i gave ``outcome.token_ids[i]``, and
        only its first ``outcome.accepted + 1`` rows belong to committed text. ``outcome`` is not cut to any limit.
        """
        ...


class NoDrafts:
    """Decoding by the target alone."""

    def begin(self, prompt_ids: Sequence[int], passes: PromptPasses) -> None:
        """See `Drafter.begin`."""

    def propose(self, committed: Sequence[int], limit: int, sampler: Sampler) -> Draft:
        """See `Drafter.propose`."""
        return Draft()

    def rewind(self, length: int) -> None:
        """See `Drafter.rewind`."""

    def observe(self, outcome: Round, target_pass: Pass) -> None:
        """See `Drafter.observe`."""


NO_DRAFTS = NoDrafts()
