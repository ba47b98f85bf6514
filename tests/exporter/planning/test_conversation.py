"""Rows from the conversation, replayed: each position is judged as by a list that holds its rows, too."""

import numpy as np
import pytest

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.trace.drawn import trace_draws
from edgedraft.calibration.trace.greedy import trace_answers
from edgedraft.exporter.planning.conversation import ConversationTrace, accepted_with_rows, drawn_with_rows
from edgedraft.exporter.planning.ranking import ranks_of
from edgedraft.exporter.planning.replay import acceptance_windows
from edgedraft.exporter.planning.replay_draws import expected_acceptance
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.model import Pass
from edgedraft.runtime.core.sampling import SamplingSettings

VOCAB, LISTED, LIMIT, TOKENS = 40, 6, 5, 30
ORDER = np.random.default_rng(1).permutation(VOCAB)
PROMPT = tuple(np.random.default_rng(2).integers(0, VOCAB, 12).tolist())


class Recorded:
    """A `LanguageModel` that gives the rows it was made with, one for each token of the text."""

    context_length = 1000

    def __init__(self, rows: np.ndarray) -> None:
        self.rows, self.token_ids = rows, []

    length = property(lambda self: len(self.token_ids))

    def read(self, token_ids) -> Pass:
        start = self.length
        self.token_ids += token_ids
        return Pass(logits=self.rows[start : self.length])

    def rewind(self, length: int) -> None:
        del self.token_ids[length:]


@pytest.fixture
def models():
    rng = np.random.default_rng(3)
    by_target = rng.normal(0, 2, (len(PROMPT) + TOKENS, VOCAB)).astype(np.float32)
    by_target[:, np.unique(PROMPT)] += 2  # what the prompt says comes again
    noise = rng.normal(0, 1, by_target.shape).astype(np.float32)
    return Recorded(by_target), Recorded(by_target + noise)


@pytest.fixture
def answer(models) -> SampledAnswer:
    token_ids = models[0].rows[len(PROMPT) - 1 :].argmax(axis=1)[:TOKENS]
    return SampledAnswer(prompt_id="a", prompt_ids=PROMPT, token_ids=tuple(token_ids.tolist()))


def lists(answer) -> list[tuple[np.ndarray, int]]:
    """For each position: an order that begins with list and rows, and how many these are."""
    found = []
    for place in range(1, TOKENS):
        text = [*answer.prompt_ids, *answer.token_ids[:place]]
        missing = list(dict.fromkeys(token for token in reversed(text) if token not in ORDER[:LISTED]))[:LIMIT]
        first = [*ORDER[:LISTED].tolist(), *missing]
        found.append((np.array([*first, *(token for token in ORDER.tolist() if token not in first)]), len(first)))
    return found


def test_greedy_drafts(models, answer):
    trace = trace_answers(models[1], [answer])
    found = accepted_with_rows(ConversationTrace(trace=trace, answers=(answer,), scored=VOCAB), ORDER, LISTED, LIMIT)
    expected = [
        acceptance_windows(trace, ranks_of(order)).accepted(size)[place]
        for place, (order, size) in enumerate(lists(answer))
    ]
    assert found.tolist() == expected
    assert 0 < sum(expected) < len(expected)
    assert found.sum() > acceptance_windows(trace, ranks_of(ORDER)).accepted(LISTED).sum()


@pytest.mark.parametrize(
    "settings",
    [
        SamplingSettings(),
        SamplingSettings(temperature=0.8, top_k=3),
        SamplingSettings(top_k=LISTED + 2),
        SamplingSettings(top_p=0.7, min_p=0.02),
    ],
)
def test_drawn_drafts(settings, models, answer):
    trace = trace_draws(*models, [answer], settings)
    found = drawn_with_rows(ConversationTrace(trace=trace, answers=(answer,), scored=VOCAB), ORDER, LISTED, LIMIT)
    for place, (order, size) in enumerate(lists(answer)):
        expected = expected_acceptance(trace, ranks_of(order), size)
        for name in ("acceptance", "kept", "doubt"):
            assert getattr(found, name)[place] == pytest.approx(getattr(expected, name)[place], abs=1e-12), name


def test_other_answers_than_those_of_the_trace_are_refused(models, answer):
    trace = trace_answers(models[1], [answer])
    with pytest.raises(EdgedraftError) as error:
        ConversationTrace(trace=trace, answers=(), scored=VOCAB)
    rule = "rows from the conversation: expected the answers of the trace"
    assert str(error.value) == f"{rule} - calibrate again: a saved calibration holds no prompts"
