"""Decoding with a drafter that reads its target's states: what the laws of EAGLE layers and MTP heads share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedraft.runtime.core.decoding import speculative_rounds
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.policies import PolicyChoice, PolicyParts, build_drafter
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.token_drafter import TokenDrafter
from edgedraft.runtime.onnx.session import SessionSettings, open_model
from tests.laws.agreeing_eagle import BorrowingPair
from tests.laws.conftest import PassClock

POLICIES = ("fixed", "confident", "ngram-or-drafter", "adaptive")


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """One target and one source, used for one answer after another as in a slot."""

    opened: BorrowingPair
    target: object
    source: object

    def rounds(self, policy: str, draft_length: int, prompt: Sequence[int], limits: Limits, times) -> Iterator[Round]:
        choice, clock = PolicyChoice(name=policy, draft_length=draft_length, p_min=0.2), PassClock()
        parts = PolicyParts(source=self.source, pass_times=times, clock=clock)
        target = clock.timed(self.target, lambda _: 1e-2)
        yield from limited(speculative_rounds(target, build_drafter(choice, parts), prompt, clock=clock), limits)


class Greedy:
    """The greedy text of an untapped target, by the simplest loop."""

    def __init__(self, graph: Path) -> None:
        self._model = open_model(graph, SessionSettings(threads=2, context_length=256))
        self._known: dict[tuple[int, ...], list[int]] = {}

    def __call__(self, prompt: Sequence[int], length: int) -> list[int]:
        said = self._known.setdefault(tuple(prompt), [])
        if len(said) < length:
            self._model.rewind(0)
            said[:] = [int(self._model.read(list(prompt)).logits[-1].argmax())]
            while len(said) < length:
                said.append(int(self._model.read(said[-1:]).logits[0].argmax()))
        return said[:length]


class Recorded:
    """A drafter that records its drafts with the text before them."""

    def __init__(self, drafter: TokenDrafter, seen: list[tuple[list[int], list[int]]]) -> None:
        self._drafter, self._seen = drafter, seen
        self.begin, self.rewind, self.observe = drafter.begin, drafter.rewind, drafter.observe

    def propose(self, committed, limit, sampler):
        draft = self._drafter.propose(committed, limit, sampler)
        self._seen.append((list(committed), draft.token_ids))
        return draft


def tokens_of(rounds) -> list[int]:
    return [token for round_ in rounds for token in round_.token_ids]
