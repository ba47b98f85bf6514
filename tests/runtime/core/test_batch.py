"""A batch answers every prompt as decoding alone would, whatever the number of rows and the order of the prompts."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedraft.runtime.core.batch import batched_answers
from edgedraft.runtime.core.decoding import GREEDY, plain_rounds, sampled
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.onnx.session import OnnxGraph

LAWS = settings(max_examples=150, deadline=None, derandomize=True, database=None)
VOCAB, CONTEXT = 7, 24
PROMPTS = st.lists(st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=CONTEXT), max_size=12)
SETTINGS = SamplingSettings(temperature=1.3, top_p=0.95, repetition_penalty=1.1)
TINY_SIZES = (1, 2, 3, 8)


class ScriptedBatch:
    """Models that are stepped one after the other; each step spoils the logits of the last, as a real batch's does."""

    def __init__(self, models):
        self.rows = models
        self.counts, self.moves = [], 0
        self._logits = np.zeros((0, 0))

    def step(self, token_ids):
        self.counts.append(len(token_ids))
        self._logits.fill(np.nan)
        self._logits = np.stack([row.read([token]).logits[0] for row, token in zip(self.rows, token_ids, strict=False)])
        return self._logits

    def move(self, source, destination):
        assert source != destination
        self.moves += 1
        self.rows[destination].tokens[:] = self.rows[source].tokens
        self.rows[source].tokens.clear()


@pytest.fixture(scope="module")
def model(scripted, by_hash):
    return lambda: scripted(by_hash(3, VOCAB), VOCAB, CONTEXT)


@pytest.fixture(scope="module")
def batch(model):
    return lambda rows: ScriptedBatch([model() for _ in range(rows)])


def alone(model, prompts, limits, methods=lambda number: GREEDY):
    """What decoding one prompt after the other gives, by the prompts' numbers."""
    answers = {}
    for number, prompt in enumerate(prompts):
        model.rewind(0)
        rounds = limited(plain_rounds(model, prompt, methods(number)), limits)
        answers[number] = tuple(token for round_ in rounds for token in round_.token_ids)
    return answers


def drawn(number):
    return sampled(SETTINGS, np.random.default_rng([5, number]))


def by_draws(number):
    return drawn(number).verifier


# --- the loop, on scripted rows --------------------------------------------------------------------------------------


@LAWS
@given(rows=st.integers(1, 5), prompts=PROMPTS, most=st.integers(1, 30), ends=st.sets(st.integers(0, VOCAB - 1)))
def test_every_prompt_is_answered_once_as_it_would_be_alone(batch, model, rows, prompts, most, ends):
    limits = Limits(max_new_tokens=most, end_token_ids=tuple(ends))
    answers = list(batched_answers(batch(rows), prompts, limits))
    assert dict(answers) == alone(model(), prompts, limits)
    assert len(answers) == len(prompts)


@LAWS
@given(rows=st.integers(1, 5), prompts=PROMPTS, most=st.integers(1, 9))
def test_no_row_idles_while_a_prompt_waits_and_none_is_taken_early(batch, rows, prompts, most):
    used, taken = batch(rows), []

    def noting():
        for prompt in prompts:
            taken.append(len(used.counts))
            yield prompt

    limits = Limits(max_new_tokens=most, end_token_ids=(0,))
    for done, _ in enumerate(batched_answers(used, noting(), limits)):
        assert len(taken) <= done + rows
    assert used.counts == sorted(used.counts, reverse=True)
    last_taken = taken[-1] if taken else 0
    assert all(count == rows for count in used.counts[:last_taken])
    assert used.moves < rows


@LAWS
@given(
    rows=st.integers(1, 5),
    prompts=st.lists(st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=9), min_size=1, max_size=8),
    order=st.randoms(use_true_random=False),
    greedy=st.sets(st.integers(0, 7)),
)
def test_what_is_drawn_depends_on_the_prompt_and_its_seed_alone(batch, model, rows, prompts, order, greedy):
    limits = Limits(max_new_tokens=12, end_token_ids=(0,))

    def method(number):
        return GREEDY if number in greedy else drawn(number)

    shuffled = order.sample(range(len(prompts)), len(prompts))
    answers = batched_answers(
        batch(rows), [prompts[n] for n in shuffled], limits, lambda place: method(shuffled[place]).verifier
    )
    expected = alone(model(), prompts, limits, method)
    assert {shuffled[place]: tokens for place, tokens in answers} == expected


def test_a_generator_shared_by_the_prompts_would_be_caught(batch):
    """Negative control for the law above."""
    limits, prompts = Limits(max_new_tokens=12), [[1], [2], [3]]

    def answers(rows):
        shared = sampled(SETTINGS, np.random.default_rng(5))
        return dict(batched_answers(batch(rows), prompts, limits, lambda number: shared.verifier))

    assert answers(1) != answers(3)


@pytest.mark.parametrize("given_up_after", [1, 2, 5])
def test_a_batch_that_was_given_up_can_be_used_again(batch, model, given_up_after):
    limits = Limits(max_new_tokens=5, end_token_ids=(0,))
    prompts = [[number % VOCAB, number // VOCAB] for number in range(12)]
    used = batch(3)
    answers = batched_answers(used, prompts, limits)
    list(itertools.islice(answers, given_up_after))
    answers.close()
    assert dict(batched_answers(used, prompts[::-1], limits)) == alone(model(), prompts[::-1], limits)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([], "prompt 2: holds no token - write something in it"),
        (
            [1] * (CONTEXT + 1),
            f"prompt 2: the context holds {CONTEXT} tokens, got {CONTEXT + 1} - "
            "shorten it or open the model with a larger context",
        ),
    ],
)
def test_a_prompt_that_cannot_be_read_is_named(batch, prompt, message, raises_exactly):
    with raises_exactly(message):
        list(batched_answers(batch(2), [[1], [2], prompt], Limits(max_new_tokens=3)))


@pytest.mark.parametrize("methods", [lambda number: GREEDY, drawn])
@pytest.mark.parametrize("spoilt", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_refused(tabled, methods, spoilt, raises_exactly):
    table = np.tile(np.arange(VOCAB, dtype=np.float32), (VOCAB, 1))
    table[VOCAB - 1, 0] = spoilt
    spoilt_batch = ScriptedBatch([tabled(table, CONTEXT) for _ in range(3)])
    remedy = "check the bundle's files or export it again"
    with raises_exactly(f"logits of the target must be finite numbers, got NaN or infinity - {remedy}"):
        list(batched_answers(spoilt_batch, [[1], [2], [3]], Limits(max_new_tokens=40), lambda n: methods(n).verifier))


# --- the loop, on a real graph at fp32 -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_graph(tiny_opened):
    return OnnxGraph(tiny_opened.target.graph, tiny_opened.settings)


@pytest.fixture(scope="module")
def ragged(tiny_opened):
    """Prompts of one token, of several pieces, and of nearly the whole context and the whole of it."""
    longest = tiny_opened.settings.context_length
    rng = np.random.default_rng(11)
    lengths = (1, 1, 2, 5, 33, longest, 64, 65, longest - 3, 1, 31, 100, 12, 32, 7, 90, 40, 3)
    return [rng.integers(2, 300, length).tolist() for length in lengths]


@pytest.fixture(scope="module")
def early_ends(tiny_graph, ragged):
    """Limits under which some answers end early, some at the limit and some with the context."""
    answers = alone(tiny_graph.new_model(), ragged, Limits(max_new_tokens=20))
    ends = tuple({answers[number][6] for number in (0, 3, 10, 12)})
    return Limits(max_new_tokens=20, end_token_ids=ends)


@pytest.mark.parametrize("rows", TINY_SIZES)
def test_greedy_texts_are_those_of_decoding_alone(tiny_graph, ragged, early_ends, rows):
    answers = dict(batched_answers(tiny_graph.batch(rows), ragged, early_ends))
    assert answers == alone(tiny_graph.new_model(), ragged, early_ends)
    by_context = [number for number, prompt in enumerate(ragged) if len(prompt) + 20 > 256]
    assert [len(answers[number]) for number in by_context] == [257 - len(ragged[number]) for number in by_context]
    assert {7, 20} <= {len(tokens) for tokens in answers.values()}


def test_drawn_texts_depend_on_neither_the_rows_nor_the_order(tiny_graph, ragged, early_ends):
    expected = dict(batched_answers(tiny_graph.batch(1), ragged, early_ends, by_draws))
    places = range(len(ragged) - 1, -1, -1)
    for rows in TINY_SIZES[1:]:
        assert dict(batched_answers(tiny_graph.batch(rows), ragged, early_ends, by_draws)) == expected
        backwards = batched_answers(
            tiny_graph.batch(rows), ragged[::-1], early_ends, lambda place: by_draws(places[place])
        )
        assert {places[place]: tokens for place, tokens in backwards} == expected
