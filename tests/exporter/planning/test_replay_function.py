"""One function of size and draft length replays greedy and drawn traces alike."""

import numpy as np
import pytest

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.trace.drawn import trace_draws
from edgedraft.exporter.planning.ranking import ranks_of
from edgedraft.exporter.planning.replay import acceptance_windows, replay
from edgedraft.exporter.planning.replay_draws import expected_acceptance, expected_replay
from edgedraft.exporter.planning.scan import replay_function
from edgedraft.runtime.core.model import Pass
from edgedraft.runtime.core.sampling import SamplingSettings

VOCAB = 32
LENGTHS = (1, 3)


def equal(one, other) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in type(one).__slots__)


def test_greedy_traces_are_replayed_exactly(greedy_trace):
    rng = np.random.default_rng(0)
    preferences = np.argsort(rng.random((60, VOCAB)), axis=1)
    trace = greedy_trace(preferences, preferences[np.arange(60), rng.integers(0, 4, 60)], np.array([0, 25, 60]))
    order = rng.permutation(VOCAB)
    replayed, windows = replay_function(trace, order), acceptance_windows(trace, ranks_of(order))
    for size in (1, 7, VOCAB):
        for length in LENGTHS:
            assert equal(replayed(size, length), replay(windows, size, length))


class Noise:
    """A model whose logits depend on position alone."""

    context_length = 64

    def __init__(self, seed: int) -> None:
        self.rows = np.random.default_rng(seed).normal(0, 2, (64, VOCAB)).astype(np.float32)
        self.token_ids: list[int] = []

    @property
    def length(self) -> int:
        return len(self.token_ids)

    def read(self, token_ids):
        start = self.length
        self.token_ids += list(token_ids)
        return Pass(logits=self.rows[start : self.length])

    def rewind(self, length):
        del self.token_ids[length:]


@pytest.mark.parametrize("size", [8, VOCAB])
def test_drawn_traces_are_replayed_in_expectation(size):
    answers = [SampledAnswer(prompt_id="a", prompt_ids=(1, 2), token_ids=tuple(range(20)))]
    trace = trace_draws(Noise(0), Noise(1), answers, SamplingSettings(temperature=0.8))
    order = np.random.default_rng(2).permutation(VOCAB)
    replayed = replay_function(trace, order)
    for length in LENGTHS:
        wanted = expected_replay(expected_acceptance(trace, ranks_of(order), size), length)
        assert equal(replayed(size, length), wanted)
        assert 1 <= replayed(size, length).block_efficiency <= length + 1
