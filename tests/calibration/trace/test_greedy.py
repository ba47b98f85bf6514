"""The law of the greedy trace: after the target's own text, what the drafter likes better than its token, in order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.trace.greedy import log_probabilities, preferred, trace_answers
from edgedraft.runtime.base.errors import EdgedraftError


def order_of(row: np.ndarray) -> list[int]:
    """All ids of a row by falling logit, equal ones by smaller id."""
    return sorted(range(len(row)), key=lambda token: (-row[token], token))


def answer_of(prompt_ids, token_ids) -> SampledAnswer:
    return SampledAnswer(prompt_id="a", prompt_ids=tuple(map(int, prompt_ids)), token_ids=tuple(map(int, token_ids)))


def rows_of(trace) -> list[list[int]]:
    return [part.tolist() for part in np.split(trace.ids, trace.row_starts[1:])] if len(trace.target_ids) else []


# --- preferred -------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32 - 1), vocab=st.integers(1, 60), levels=st.integers(1, 100), most=st.integers(1, 70))
@settings(max_examples=200)
def test_preferred_tokens_are_the_beginning_of_a_sort_down_to_the_target(seed, vocab, levels, most):
    """Equal logits by smaller id, also where they decide whether a token comes before the target's."""
    rng = np.random.default_rng(seed)
    row = rng.integers(0, levels, vocab).astype(np.float32)
    target = int(rng.integers(vocab))
    order = order_of(row)
    place, ids = preferred(row, target, most)
    assert place == order.index(target)
    assert ids.tolist() == order[: place + 1][:most]


def test_the_best_token_is_numpys_arg_max():
    row = np.zeros(8, np.float32)
    assert preferred(row, int(row.argmax()), 8)[0] == 0


def test_minus_infinity_comes_last():
    place, ids = preferred(np.array([-np.inf, 1, -np.inf, 2], np.float32), 2, 8)
    assert (place, ids.tolist()) == (3, [3, 1, 0, 2])


# --- log_probabilities -----------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0, 50))
def test_log_probabilities_are_those_of_a_softmax_of_the_whole_row(seed, scale):
    row = np.random.default_rng(seed).normal(0, scale, 40).astype(np.float32)
    exact = row - np.logaddexp.reduce(row.astype(np.float64))
    np.testing.assert_allclose(log_probabilities(row, np.array([3, 1, 4])), exact[[3, 1, 4]], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_refused(bad):
    with pytest.raises(EdgedraftError, match="must be finite numbers"):
        log_probabilities(np.array([1, bad], np.float32), np.array([0]))


# --- trace_answers ---------------------------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 2**20),
    sizes=st.lists(st.tuples(st.integers(1, 70), st.integers(1, 70)), min_size=1, max_size=3),
    most=st.sampled_from((1, 3, 1024)),
)
@settings(max_examples=25, deadline=None)
def test_every_position_has_seen_the_prompt_and_the_answer_before_it(scripted, script, vocab_size, seed, sizes, most):
    rng = np.random.default_rng(seed)
    answers = [answer_of(rng.integers(0, vocab_size, p), rng.integers(0, vocab_size, a)) for p, a in sizes]
    drafter = scripted(seed)
    trace = trace_answers(drafter, answers, most)
    places, rows, scores = [], [], []
    for entry in answers:
        for at in range(1, len(entry.token_ids)):
            logits = script(seed)((*entry.prompt_ids, *entry.token_ids[:at]))
            places.append(order_of(logits).index(entry.token_ids[at]))
            rows.append(order_of(logits)[: places[-1] + 1][: trace.cap])
            scores += (logits - np.logaddexp.reduce(logits.astype(float)))[rows[-1]].tolist()
    assert trace.places.tolist() == places
    assert rows_of(trace) == rows
    assert trace.log_probs_by_drafter.tolist() == pytest.approx(scores, abs=1e-5)
    assert trace.target_ids.tolist() == [token for entry in answers for token in entry.token_ids[1:]]
    assert trace.offsets.tolist() == np.cumsum([0, *(a - 1 for _, a in sizes)]).tolist()
    assert drafter.tokens_read == sum(p + a - 1 for p, a in sizes)


def test_rows_are_no_longer_than_asked_and_places_stay_true(scripted):
    answers = [answer_of([1], np.random.default_rng(0).integers(0, 16, 60))]
    whole, short = trace_answers(scripted(5), answers), trace_answers(scripted(5), answers, most=2)
    assert short.places.tolist() == whole.places.tolist()
    assert short.cap == short.row_lengths.max() == 2
    assert short.cut_share == np.mean(whole.places >= 2) > 0.5
    assert whole.cut_share == 0
    assert whole.cap == whole.places.max() + 1


def test_single_token_answers_give_no_rows(scripted):
    trace = trace_answers(scripted(0), [answer_of([1, 2], [3]), answer_of([4], [5])])
    assert trace.target_ids.shape == trace.ids.shape == (0,)
    assert trace.offsets.tolist() == [0, 0, 0]
    assert trace.answers == 2


def test_a_single_token_answer_between_others_keeps_its_place(scripted):
    answers = [answer_of([1], [2, 3]), answer_of([1], [2]), answer_of([1], [2, 3, 4])]
    trace = trace_answers(scripted(0), answers)
    assert trace.offsets.tolist() == [0, 1, 1, 3]
    assert trace.target_ids.tolist() == [3, 3, 4]


def test_progress_counts_every_answer(scripted):
    seen = []
    trace_answers(scripted(0), [answer_of([1], [2, 3])] * 2, progress=lambda *facts: seen.append(facts))
    assert seen == [("answers traced", done, 2) for done in range(3)]
