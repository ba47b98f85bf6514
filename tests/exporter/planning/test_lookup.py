"""N-gram lookup replayed: what the runtime's own loop does with a target that says the same."""

import numpy as np
import pytest

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.devices.latency import StepModel
from edgedraft.exporter.planning.lookup import best_lookup, replay_lookup
from edgedraft.exporter.planning.scoring import PairLatency
from edgedraft.runtime.core.decoding import speculative_rounds
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.model import Pass
from edgedraft.runtime.core.ngram import NgramSource
from edgedraft.runtime.core.policies import FixedLength
from edgedraft.runtime.core.token_drafter import TokenDrafter

VOCAB = 12


def latency(cost, *, rereads: bool = False) -> PairLatency:
    """A target whose pass over so many rows takes ``cost(rows)`` seconds."""
    rows = tuple(range(1, 34))
    factors = tuple(cost(count) / cost(1) for count in rows)
    target = StepModel(overhead_seconds=cost(1), seconds_per_byte=0.0, rows=rows, row_factors=factors)
    return PairLatency(
        target=target, drafter=target, target_bytes=0, drafter_bytes=lambda size: size, target_rereads=rereads
    )


class Saying:
    """A target that goes on with a text, whatever was drafted."""

    def __init__(self, text) -> None:
        self._text, self.token_ids, self.context_length = text, [], len(text) + 40

    @property
    def length(self) -> int:
        return len(self.token_ids)

    def read(self, token_ids) -> Pass:
        self.token_ids += token_ids
        places = range(self.length - len(token_ids) + 1, self.length + 1)
        said = [self._text[place] if place < len(self._text) else 0 for place in places]
        return Pass(logits=np.eye(VOCAB, dtype=np.float32)[said])

    def rewind(self, length) -> None:
        del self.token_ids[length:]


def repeating(seed: int, prompt: int, length: int) -> SampledAnswer:
    """A text that often, not always, repeats itself."""
    rng, text = np.random.default_rng(seed), []
    while len(text) < prompt + length:
        start = int(rng.integers(0, max(len(text) - 6, 1)))
        again = len(text) > 8 and rng.random() < 0.5
        text += text[start : start + 6] if again else rng.integers(0, VOCAB, 4).tolist()
    text = [int(token) for token in text[: prompt + length]]
    return SampledAnswer(prompt_id="", prompt_ids=tuple(text[:prompt]), token_ids=tuple(text[prompt:]))


@pytest.mark.parametrize("draft_length", [1, 2, 5])
def test_rounds_are_those_of_the_runtime(draft_length):
    found_drafts = 0
    for seed in range(12):
        entry = repeating(seed, 3 + 4 * seed, 50)
        target = Saying([*entry.prompt_ids, *entry.token_ids])
        drafter = TokenDrafter(NgramSource(), FixedLength(draft_length))
        rounds = list(
            limited(speculative_rounds(target, drafter, entry.prompt_ids), Limits(max_new_tokens=len(entry.token_ids)))
        )[1:]
        outcome = replay_lookup([entry], draft_length)
        drafted = [round_.drafted for round_ in rounds]
        assert outcome.rounds == {count: drafted.count(count) for count in set(drafted)}
        assert outcome.accepted == sum(round_.accepted for round_ in rounds)
        assert outcome.tokens == len(entry.token_ids) - 1
        assert outcome.block_efficiency == pytest.approx(outcome.tokens / len(rounds))
        found_drafts += outcome.accepted
    assert found_drafts > 20


def test_the_best_length_has_the_fewest_seconds_a_token():
    answers = [repeating(seed, 20, 60) for seed in range(8)]

    linear = latency(lambda rows: 1.0 + 0.1 * (rows - 1))
    best = best_lookup(answers, linear)
    by_length = {length: replay_lookup(answers, length).seconds(linear) for length in range(1, 17)}
    assert by_length[best.draft_length] == min(by_length.values()) < 8 * 59
    dear = best_lookup(answers, latency(lambda rows: float(rows) ** 3))
    assert dear.draft_length == 1


def test_answers_of_one_token_have_nothing_to_look_up():
    entry = SampledAnswer(prompt_id="", prompt_ids=(1, 2), token_ids=(3,))
    assert best_lookup([entry], latency(float)) is None
    assert best_lookup([], latency(float)) is None


def test_a_recurrent_target_pays_for_the_rows_that_it_reads_again():
    """By the runtime's own rounds: what a refused round accepted before comes with the next pass."""
    answers = [repeating(seed, 20, 60) for seed in range(8)]
    costs = {rereads: latency(lambda rows: 1.0 + 0.1 * (rows - 1), rereads=rereads) for rereads in (False, True)}
    for draft_length in (1, 4):
        again = 0
        for entry in answers:
            target = Saying([*entry.prompt_ids, *entry.token_ids])
            drafter = TokenDrafter(NgramSource(), FixedLength(draft_length))
            limits = Limits(max_new_tokens=len(entry.token_ids))
            rounds = list(limited(speculative_rounds(target, drafter, entry.prompt_ids), limits))[1:]
            again += sum(round_.accepted for round_ in rounds if round_.accepted < round_.drafted)
        outcome = replay_lookup(answers, draft_length)
        more = outcome.seconds(costs[True]) - outcome.seconds(costs[False])
        assert more == pytest.approx(0.1 * again)
        assert (again > 0) == (draft_length > 1)
