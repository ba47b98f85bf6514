"""Tracing by depth: a row is that of where its round began and of its depth, whatever the pieces; memory is bounded."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.trace import rows as rows_module
from edgedraft.calibration.trace.depths import scored_drafts, trace_depths, trace_drawn_depths
from edgedraft.calibration.trace.drawn import drawn_row
from edgedraft.calibration.trace.greedy import preferred
from edgedraft.calibration.trace.rows import AcceptanceTrace, DrawnTrace, ids_per_row
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.model import Pass
from edgedraft.runtime.core.sampling import SamplingSettings, adjusted

VOCAB = 16


def logits_of(text: Sequence[int], row: int, depth: int) -> np.ndarray:
    """What the scripted layer scores: by the tokens that it has read, where it began, and its depth."""
    seed = [*text[: row + depth + 2], row, depth]
    return np.random.default_rng(seed).normal(size=VOCAB).astype(np.float32)


class ScriptedScorer:
    """A `DepthScorer` of four rows at once; it refuses rows whose features were not taken."""

    most_rows = 4

    def __init__(self, depths: int) -> None:
        self.depths = depths

    def begin(self, text_ids: Sequence[int]) -> None:
        self._text, self._taken = text_ids, 0

    def take(self, target_pass: Pass, count: int) -> None:
        assert len(target_pass.logits) == count
        self._taken += count

    def score(self, first: int, count: int) -> Iterator[np.ndarray]:
        assert self._taken >= first + count
        for depth in range(self.depths):
            rows = range(first, min(first + count, len(self._text) - 2 - depth))
            if not rows:
                return
            yield np.stack([logits_of(self._text, row, depth) for row in rows])


def answers_of(sizes: Sequence[tuple[int, int]], seed: int = 0) -> list[SampledAnswer]:
    rng = np.random.default_rng(seed)
    return [
        SampledAnswer(
            prompt_id=str(number),
            prompt_ids=tuple(rng.integers(0, VOCAB, prompt).tolist()),
            token_ids=tuple(rng.integers(0, VOCAB, length).tolist()),
        )
        for number, (prompt, length) in enumerate(sizes)
    ]


@given(
    sizes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=3),
    depths=st.integers(1, 6),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_every_row_is_that_of_its_beginning_and_depth(scripted, sizes, depths, seed):
    answers = answers_of(sizes, seed)
    trace = trace_depths(scripted(1), ScriptedScorer(depths), answers)
    assert len(trace.depths) == depths
    for depth, rows in enumerate(trace.depths):
        expected = []
        for entry in answers:
            text, first = [*entry.prompt_ids, *entry.token_ids], len(entry.prompt_ids) - 1
            for root in range(max(len(entry.token_ids) - 1 - depth, 0)):
                target_id = entry.token_ids[root + depth + 1]
                place, ids = preferred(logits_of(text, first + root, depth), target_id, 1024)
                expected.append((target_id, place + 1, ids[: rows.cap].tolist()))
        found = zip(rows.target_ids, rows.wanted, np.split(rows.ids, rows.row_starts[1:]), strict=False)
        assert [(int(target), int(wanted), ids.tolist()) for target, wanted, ids in found] == expected
        assert rows.answers == len(answers)


def test_drawn_rows_compare_both_models_at_the_position_of_the_draft(scripted, script):
    options = SamplingSettings(temperature=0.9, repetition_penalty=1.3)
    (entry,) = answers_of([(3, 12)])
    trace = trace_drawn_depths(scripted(1), ScriptedScorer(3), [entry], options)
    text = [*entry.prompt_ids, *entry.token_ids]
    for depth, rows in enumerate(trace.depths):
        for root in range(len(rows.target_ids)):
            judged = len(entry.prompt_ids) + root + depth + 1
            both = (script(1)(tuple(text[:judged])), logits_of(text, len(entry.prompt_ids) - 1 + root, depth))
            seen = np.unique(text[:judged])
            scores = [adjusted(np.float32(row), options, seen, options.logit_bias) for row in both]
            row = drawn_row(*scores, text[judged], options).cut(rows.cap)
            entries = slice(rows.row_starts[root], rows.row_starts[root] + rows.row_lengths[root])
            assert rows.ids[entries].tolist() == row.ids.tolist()
            np.testing.assert_allclose(rows.log_probs_by_drafter[entries], row.log_probs, atol=1e-6)
            np.testing.assert_allclose(np.exp(rows.log_probs_by_target[entries]), row.by_target, atol=1e-6)


def test_the_targets_logits_are_held_for_a_piece_and_its_deepest_drafts(scripted):
    """Three hundred positions: when a round is passed, the target has read little more than it needs."""
    target = scripted(1)
    (entry,) = answers_of([(5, 150)])
    for depth, root, _, _ in scored_drafts(target, ScriptedScorer(3), entry):
        ahead = target.tokens_read - len(entry.prompt_ids) - root - depth
        assert ahead <= 33 + ScriptedScorer.most_rows + 3


def test_answers_of_one_token_have_no_rows(scripted):
    trace = trace_depths(scripted(0), ScriptedScorer(3), answers_of([(2, 1), (1, 1)]))
    assert [rows.offsets.tolist() for rows in trace.depths] == [[0, 0, 0]] * 3
    assert trace.most_drafts == 3


def test_drawn_answers_need_a_temperature(scripted):
    with pytest.raises(EdgedraftError, match="need a temperature above 0"):
        trace_drawn_depths(scripted(0), ScriptedScorer(2), [], SamplingSettings(temperature=0))


def test_many_rows_have_fewer_ids_each(monkeypatch):
    monkeypatch.setattr(rows_module, "MOST_ENTRIES", 10_000)
    assert [ids_per_row(rows, 1024) for rows in (0, 5, 20, 100, 10_000)] == [1024, 1024, 500, 100, 64]


@pytest.mark.parametrize("drawn", [False, True])
def test_depths_that_do_not_fit_are_refused(scripted, drawn):
    answers = answers_of([(2, 6), (3, 4)])
    trace: AcceptanceTrace | DrawnTrace
    if drawn:
        trace = trace_drawn_depths(scripted(0), ScriptedScorer(3), answers, SamplingSettings())
    else:
        trace = trace_depths(scripted(0), ScriptedScorer(3), answers)
    first, second, third = trace.depths
    with pytest.raises(EdgedraftError, match="depth 1: expected one row fewer for each answer"):
        dataclasses.replace(first, deeper=(third,))
    with pytest.raises(EdgedraftError, match="depth 1: expected one row fewer"):
        dataclasses.replace(first, deeper=(dataclasses.replace(second, deeper=(third,)),))
    other = trace_depths(scripted(0), ScriptedScorer(3), answers_of([(2, 6), (3, 4)], seed=1))
    with pytest.raises(EdgedraftError, match="depth 1: expected the target's tokens 1 positions on"):
        dataclasses.replace(first, deeper=other.deeper)
