"""Replay of drafts that are looked up in the text so far: what n-gram lookup, which needs no model, would do."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.exporter.planning.replay import DRAFT_LENGTHS
from edgedraft.exporter.planning.scoring import PairLatency
from edgedraft.runtime.core.decoding import GREEDY
from edgedraft.runtime.core.ngram import NgramSource
from edgedraft.runtime.core.policies import FixedLength
from edgedraft.runtime.core.token_drafter import TokenDrafter
from edgedraft.runtime.core.verify import accepted_prefix


@dataclass(frozen=True, kw_only=True, slots=True)
class LookupReplay:
    """Rounds of all answers: ``rounds`` by the number of tokens drafted, 0 where nothing was found.

    ``tokens`` of the answers, ``evaluated`` drafts that the target examined, ``accepted`` ones; ``again``, by the
    number drafted, those accepted in rounds that refused another.
    """

    draft_length: int
    rounds: Mapping[int, int]
    tokens: int
    evaluated: int
    accepted: int
    again: Mapping[int, int]

    @property
    def block_efficiency(self) -> float:
        """τ: mean tokens per target pass."""
        return self.tokens / sum(self.rounds.values())

    @property
    def acceptance_rate(self) -> float:
        """Accepted over examined drafts; 0 when none was examined."""
        return self.accepted / self.evaluated if self.evaluated else 0.0

    def seconds(self, latency: PairLatency) -> float:
        """Return the seconds of all rounds, which the target alone takes; a look-up takes none."""
        passes = sum(count * latency.target_seconds(drafted + 1) for drafted, count in self.rounds.items())
        again = (
            latency.rereading_seconds(drafted, np.array(count), np.array(0)) for drafted, count in self.again.items()
        )
        return passes + sum(float(seconds) for seconds in again)


def replay_lookup(answers: Sequence[SampledAnswer], draft_length: int) -> LookupReplay:
    """Replay answers in rounds of up to ``draft_length`` looked-up drafts, exactly.

    Drawn answers too: a looked-up draft is kept where the text goes on with it.
    """
    rounds, again = Counter[int](), Counter[int]()
    tokens = evaluated = accepted = 0
    for entry in answers:
        drafter = TokenDrafter(NgramSource(), FixedLength(draft_length))
        text, place = [*entry.prompt_ids, *entry.token_ids], len(entry.prompt_ids) + 1
        tokens += len(text) - place
        while place < len(text):
            draft = drafter.propose(text[:place], draft_length, GREEDY.sampler).token_ids
            kept = accepted_prefix(draft, text[place:])
            rounds[len(draft)] += 1
            accepted += kept
            again[len(draft)] += kept if kept < len(draft) else 0
            evaluated += kept + (kept < min(len(draft), len(text) - place))
            place += kept + 1
    return LookupReplay(
        draft_length=draft_length,
        rounds=dict(rounds),
        tokens=tokens,
        evaluated=evaluated,
        accepted=accepted,
        again=dict(again),
    )


def best_lookup(answers: Sequence[SampledAnswer], latency: PairLatency) -> LookupReplay | None:
    """Return the fastest draft length's replay; None without answers of two tokens or more."""
    if not any(len(entry.token_ids) > 1 for entry in answers):
        return None
    replays = [replay_lookup(answers, length) for length in DRAFT_LENGTHS]
    return min(replays, key=lambda each: each.seconds(latency) / each.tokens)
