"""A timed model is the model it wraps, with the seconds of its reads added up."""

import pytest

from edgedraft.runtime.core.timing import TimedModel


class HandClock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def advance(self):
        self.now += 0.25


@pytest.fixture
def timed(scripted, by_table):
    clock = HandClock()
    inner = scripted(by_table([1, 0]), 2, context_length=8, on_read=clock.advance)
    return TimedModel(inner, clock), inner, clock


def test_it_reads_and_rewinds_like_the_model_it_wraps(timed):
    model, inner, _ = timed
    assert model.read([0, 1]).shape == (2, 2)
    assert (list(model.token_ids), model.length, model.context_length) == ([0, 1], 2, 8)
    model.rewind(1)
    assert inner.tokens == [0]


def test_only_reads_count(timed):
    model, _, clock = timed
    model.read([0])
    clock.now += 60
    model.rewind(0)
    model.read([0, 1])
    assert (model.seconds, model.calls) == (0.5, 2)
