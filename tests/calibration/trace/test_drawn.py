"""The law of drawn traces: rows hold the likely tokens of both models, and say how much of each they lack."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.calibration.trace import drawn as drawing
from edgedraft.calibration.trace.drawn import LEAST_BEST, LEFT_OUT, drawn_row, likeliest, trace_draws
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.sampling import SamplingSettings, adjusted, probabilities

SETTINGS = {
    "temperature": SamplingSettings(temperature=0.8),
    "filters": SamplingSettings(temperature=1.2, top_k=5, top_p=0.9, min_p=0.05),
    "penalty and bias": SamplingSettings(repetition_penalty=1.3, logit_bias={3: -np.inf, 5: 2.0}),
}
seeds = st.integers(0, 2**32 - 1)


def softmax(scores: np.ndarray) -> np.ndarray:
    return np.exp(scores - np.logaddexp.reduce(scores.astype(np.float64)))


def answers_of(rng: np.random.Generator, sizes, vocab_size: int) -> list[SampledAnswer]:
    def ids(size: int) -> tuple[int, ...]:
        return tuple(rng.integers(0, vocab_size, size).tolist())

    return [SampledAnswer(prompt_id="a", prompt_ids=ids(p), token_ids=ids(a)) for p, a in sizes]


def two_rows(rng: np.random.Generator, vocab_size: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits of target and drafter that agree a little."""
    by_target = rng.normal(0, spread, vocab_size).astype(np.float32)
    return by_target, (by_target + rng.normal(0, spread / 2, vocab_size)).astype(np.float32)


# --- likeliest -------------------------------------------------------------------------------------------------------


@given(seed=seeds, vocab=st.integers(1, 400), spread=st.floats(0, 12))
@settings(max_examples=150, deadline=None)
def test_the_likeliest_are_the_fewest_that_leave_out_little(seed, vocab, spread):
    distribution = softmax(np.random.default_rng(seed).normal(0, spread, vocab))
    found = likeliest(distribution)
    outside = np.delete(distribution, found)
    assert outside.sum() < LEFT_OUT
    assert outside.sum() + distribution[found[-1]] >= LEFT_OUT
    assert np.max(outside, initial=0) <= distribution[found].min()


# --- drawn_row -------------------------------------------------------------------------------------------------------


@given(seed=seeds, spread=st.sampled_from((0.5, 2.0, 6.0)), name=st.sampled_from(["temperature", "filters"]))
@settings(max_examples=40, deadline=None)
def test_a_row_says_what_it_lacks(seed, spread, name):
    rng = np.random.default_rng(seed)
    by_target, by_drafter = two_rows(rng, 3000, spread)
    target_id, options = int(rng.integers(3000)), SETTINGS[name]
    row = drawn_row(by_target, by_drafter, target_id, options)
    p, q = probabilities(by_target, options), softmax(by_drafter / options.temperature)
    outside = np.setdiff1d(np.arange(3000), row.ids)
    assert row.left_by_target == pytest.approx(p[outside].sum(), abs=1e-9)
    assert row.left_by_drafter == pytest.approx(q[outside].sum(), abs=1e-9)
    assert max(row.left_by_target, row.left_by_drafter) < LEFT_OUT
    if len(outside):
        assert row.best_left == pytest.approx(np.log(softmax(by_drafter))[outside].max(), abs=1e-4)
    else:
        assert row.best_left == -np.inf
    assert row.ids.tolist() == sorted(row.ids.tolist(), key=lambda token: (-by_drafter[token], token))
    assert row.wanted == len(row.ids)
    best = np.argsort(-by_drafter, kind="stable")[:LEAST_BEST]
    assert {target_id, *best.tolist()} <= set(row.ids.tolist())
    np.testing.assert_allclose(row.by_target, p[row.ids], rtol=1e-6)
    np.testing.assert_allclose(row.by_drafter, q[row.ids], rtol=1e-4)


@given(seed=seeds, cap=st.integers(2, 300))
@settings(max_examples=40, deadline=None)
def test_a_row_that_is_cut_keeps_the_likeliest_and_its_sums(seed, cap):
    rng = np.random.default_rng(seed)
    by_target, by_drafter = two_rows(rng, 200, 1.0)
    target_id, options = int(rng.integers(200)), SamplingSettings(temperature=1.5)
    whole = drawn_row(by_target, by_drafter, target_id, options)
    row = whole.cut(cap)
    assert len(row.ids) == min(cap, len(whole.ids))
    assert row.wanted == len(whole.ids)
    assert {target_id, int(by_drafter.argmax())} <= set(row.ids.tolist())
    assert row.ids[0] == by_drafter.argmax()
    assert row.left_by_target + row.by_target.sum() == pytest.approx(1, abs=1e-5)
    assert row.left_by_drafter + row.by_drafter.sum() == pytest.approx(1, abs=1e-5)
    dropped = ~np.isin(whole.ids, row.ids)
    weight = np.maximum(whole.by_target, whole.by_drafter)
    if dropped.any():
        assert row.best_left == max(whole.best_left, whole.log_probs[dropped].max())
        spared = ~dropped & (whole.ids != target_id) & (whole.ids != whole.ids[0])
        assert weight[dropped].max() <= np.min(weight[spared], initial=np.inf)


# --- trace_draws -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETTINGS)
def test_every_position_is_processed_as_the_runtime_does_it(name, scripted, script, vocab_size):
    """16 tokens are all kept: both models' numbers are known for each, after prompt and answer so far."""
    options = SETTINGS[name]
    answers = answers_of(np.random.default_rng(1), [(3, 6), (40, 70), (1, 1)], vocab_size)
    trace = trace_draws(scripted(2), scripted(3), answers, options)
    assert trace.offsets.tolist() == [0, 5, 74, 74]
    assert trace.target_ids.tolist() == [token for entry in answers for token in entry.token_ids[1:]]
    assert (trace.settings, trace.cap, trace.cut_share) == (options, 16, 0.0)
    assert not trace.left_by_target.any() and not trace.left_by_drafter.any() and np.isneginf(trace.best_left).all()
    position = 0
    for entry in answers:
        for place in range(1, len(entry.token_ids)):
            context = (*entry.prompt_ids, *entry.token_ids[:place])
            by_target, by_drafter = (
                adjusted(script(seed)(context).astype(np.float32), options, np.unique(context), options.logit_bias)
                for seed in (2, 3)
            )
            row = slice(16 * position, 16 * (position + 1))
            ids = trace.ids[row]
            assert sorted(ids.tolist()) == list(range(16))
            np.testing.assert_allclose(np.exp(trace.log_probs_by_drafter[row]), softmax(by_drafter)[ids], rtol=1e-5)
            expected = probabilities(by_target, options)[ids]
            np.testing.assert_allclose(np.exp(trace.log_probs_by_target[row]), expected, rtol=1e-5)
            position += 1


def test_rows_are_cut_at_the_most_that_is_allowed(scripted, vocab_size, monkeypatch):
    answers = answers_of(np.random.default_rng(1), [(3, 40)], vocab_size)
    monkeypatch.setattr(drawing, "MOST_DRAWN_IDS", 5)
    trace = trace_draws(scripted(2), scripted(3), answers, SETTINGS["temperature"])
    assert (trace.cap, trace.cut_share) == (5, 1.0)
    assert set(trace.row_lengths.tolist()) == {5}
    assert set(trace.wanted.tolist()) == {16}
    assert (trace.left_by_target > 0).all() and (trace.best_left > -np.inf).all()


def test_the_cap_is_no_more_than_the_rows_want(scripted, vocab_size, monkeypatch):
    monkeypatch.setattr(drawing, "LEAST_BEST", 1)
    options = SamplingSettings(temperature=0.1)
    trace = trace_draws(scripted(2), scripted(3), answers_of(np.random.default_rng(1), [(3, 40)], vocab_size), options)
    assert trace.cap == trace.wanted.max() < 16


def test_answers_of_one_token_give_no_rows(scripted, vocab_size):
    answers = answers_of(np.random.default_rng(1), [(3, 1), (2, 1)], vocab_size)
    trace = trace_draws(scripted(2), scripted(3), answers, SETTINGS["temperature"])
    assert (trace.answers, len(trace.ids), len(trace.best_left)) == (2, 0, 0)


def test_greedy_settings_are_refused(scripted):
    rule = "^trace: drawn answers need a temperature above 0, got 0 - trace greedily$"
    with pytest.raises(EdgedraftError, match=rule):
        trace_draws(scripted(2), scripted(3), [], SamplingSettings(temperature=0))


def test_progress_counts_every_answer(scripted, vocab_size):
    seen = []
    answers = answers_of(np.random.default_rng(1), [(3, 2)] * 2, vocab_size)
    trace_draws(scripted(2), scripted(3), answers, SamplingSettings(), lambda *facts: seen.append(facts))
    assert seen == [("answers traced", done, 2) for done in range(3)]
