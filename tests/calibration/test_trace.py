"""The law of the trace: at every position it holds the drafter's best tokens after the target's own text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.calibration.sampling import Answer
from edgedraft.calibration.trace import (
    TOP_TOKENS,
    AcceptanceTrace,
    read_trace,
    top_tokens,
    trace_answers,
    write_trace,
)
from edgedraft.runtime.errors import EdgedraftError
from edgedraft.runtime.tensors import write_tensors


def best_first(row: np.ndarray, top: int) -> list[int]:
    """The ids of a row sorted by logit, equal ones by smaller id."""
    return sorted(range(len(row)), key=lambda token: (-row[token], token))[:top]


def answer_of(prompt_ids, token_ids, name="a") -> Answer:
    return Answer(prompt_id=name, prompt_ids=tuple(prompt_ids), token_ids=tuple(token_ids))


def same(left: AcceptanceTrace, right: AcceptanceTrace) -> bool:
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in AcceptanceTrace.__slots__)


# --- top_tokens ------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 4), vocab=st.integers(1, 200), top=st.integers(1, 220))
def test_top_tokens_are_a_sort_when_all_logits_differ(seed, rows, vocab, top):
    logits = np.random.default_rng(seed).permuted(np.tile(np.arange(vocab), (rows, 1)), axis=1).astype(np.float32)
    got = top_tokens(logits - 50, top)
    assert got.dtype == np.int64
    assert got.tolist() == [best_first(row, top) for row in logits]


@given(
    seed=st.integers(0, 2**32 - 1),
    vocab=st.integers(1, 60),
    levels=st.integers(1, 8),
    top=st.integers(1, 60),
)
@settings(max_examples=200)
def test_equal_logits_are_ordered_by_smaller_id(seed, vocab, levels, top):
    """Also at the cut: which of several equal tokens are kept decides what a trimmed drafter proposes."""
    logits = np.random.default_rng(seed).integers(0, levels, (2, vocab)).astype(np.float32)
    assert top_tokens(logits, top).tolist() == [best_first(row, top) for row in logits]


@given(seed=st.integers(0, 2**32 - 1), vocab=st.integers(1, 60), levels=st.integers(1, 8))
def test_equal_logits_of_a_whole_vocabulary_are_ordered_by_smaller_id(seed, vocab, levels):
    logits = np.random.default_rng(seed).integers(0, levels, (3, vocab)).astype(np.float32)
    assert top_tokens(logits, vocab).tolist() == [best_first(row, vocab) for row in logits]


def test_the_only_best_token_is_numpys_arg_max():
    logits = np.zeros((1, 8), np.float32)
    assert top_tokens(logits, 1).tolist() == [[int(logits[0].argmax())]]


def test_minus_infinity_comes_last():
    assert top_tokens(np.array([[-np.inf, 1, -np.inf, 2]], np.float32), 4).tolist() == [[3, 1, 0, 2]]


# --- trace_answers ---------------------------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 2**20),
    sizes=st.lists(st.tuples(st.integers(1, 70), st.integers(1, 70)), min_size=1, max_size=3),
)
@settings(max_examples=25, deadline=None)
def test_every_position_has_seen_the_prompt_and_the_answer_before_it(scripted, script, vocab_size, seed, sizes):
    rng = np.random.default_rng(seed)
    answers = [answer_of(rng.integers(0, vocab_size, p), rng.integers(0, vocab_size, a)) for p, a in sizes]
    drafter = scripted(seed)
    trace = trace_answers(drafter, answers)
    expected = [
        best_first(script(seed)(tuple(map(int, (*entry.prompt_ids, *entry.token_ids[:place])))), TOP_TOKENS)
        for entry in answers
        for place in range(1, len(entry.token_ids))
    ]
    assert trace.drafter_top.tolist() == expected
    assert trace.target_ids.tolist() == [token for entry in answers for token in entry.token_ids[1:]]
    assert trace.offsets.tolist() == np.cumsum([0, *(a - 1 for _, a in sizes)]).tolist()
    assert trace.answers == len(answers)
    assert drafter.tokens_read == sum(p + a - 1 for p, a in sizes)


def test_single_token_answers_give_no_rows(scripted):
    trace = trace_answers(scripted(0), [answer_of([1, 2], [3]), answer_of([4], [5])], top=4)
    assert trace.target_ids.shape == (0,)
    assert trace.drafter_top.shape == (0, 4)
    assert trace.offsets.tolist() == [0, 0, 0]
    assert trace.answers == 2


def test_a_single_token_answer_between_others_keeps_its_place(scripted):
    answers = [answer_of([1], [2, 3]), answer_of([1], [2]), answer_of([1], [2, 3, 4])]
    trace = trace_answers(scripted(0), answers, top=4)
    assert trace.offsets.tolist() == [0, 1, 1, 3]
    assert trace.target_ids.tolist() == [3, 3, 4]


def test_progress_counts_every_answer(scripted):
    seen = []
    trace_answers(scripted(0), [answer_of([1], [2, 3])] * 2, progress=lambda *facts: seen.append(facts))
    assert seen == [("answers traced", done, 2) for done in range(3)]


# --- records and files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "top", "offsets", "rule"),
    [
        (3, (3,), [0, 3], r"^trace: drafter_top: expected \(positions, M\), got \(3,\)$"),
        (3, (2, 4), [0, 3], "^trace: expected as many targets as draft rows, got 3 and 2$"),
        (3, (3, 4), [0, 2], "^trace: expected as many targets as draft rows, got 3 and 3$"),
    ],
)
def test_a_trace_that_does_not_fit_together_is_refused(targets, top, offsets, rule):
    with pytest.raises(EdgedraftError, match=rule):
        AcceptanceTrace(
            target_ids=np.zeros(targets, np.int64), drafter_top=np.zeros(top, np.int64), offsets=np.array(offsets)
        )


@given(
    seed=st.integers(0, 2**32 - 1), lengths=st.lists(st.integers(0, 5), min_size=1, max_size=4), top=st.integers(1, 8)
)
@settings(max_examples=30, deadline=None)
def test_a_file_gives_back_what_was_written(tmp_path_factory, seed, lengths, top):
    rng = np.random.default_rng(seed)
    positions = sum(lengths)
    trace = AcceptanceTrace(
        target_ids=rng.integers(0, 151_936, positions),
        drafter_top=rng.integers(0, 151_936, (positions, top)),
        offsets=np.cumsum([0, *lengths]),
    )
    path = tmp_path_factory.mktemp("trace") / "trace.safetensors"
    write_trace(path, trace)
    found = read_trace(path)
    assert same(found, trace)
    assert {getattr(found, name).dtype for name in AcceptanceTrace.__slots__} == {np.dtype(np.int64)}


def test_another_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "trace.safetensors"
    write_tensors(path, {"target_ids": np.zeros(3, np.int32)})
    with pytest.raises(
        EdgedraftError, match=r"trace\.safetensors: not an acceptance-trace file, got no 'drafter_top'$"
    ):
        read_trace(path)


def test_garbage_is_refused(tmp_path):
    path = tmp_path / "trace.safetensors"
    path.write_bytes(b"garbage")
    with pytest.raises(EdgedraftError, match=r"trace\.safetensors: not a safetensors file"):
        read_trace(path)
