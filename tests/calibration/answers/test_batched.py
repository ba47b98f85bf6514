"""Answers by our own runtime depend on prompt, model and seed alone: not on the batch, not on their neighbours."""

import numpy as np
import pytest

from edgedraft.calibration.answers.batched import Draws, OneByOne, batched_answering
from edgedraft.calibration.answers.sampling import Question
from edgedraft.calibration.data.samples import RANK
from edgedraft.calibration.prompts import Prompt
from edgedraft.runtime.core.decoding import plain_rounds
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.sampling import SamplingSettings

LIMITS = Limits(max_new_tokens=12, end_token_ids=(3,))
TEXTS = ("abc", "d", "hello", "ba", "kin", "fog", "lead", "me")


def question(text: str) -> Question:
    prompt = Prompt(id=text, split=RANK, messages=({"role": "user", "content": text},))
    return Question(prompt=prompt, prompt_ids=tuple(ord(letter) - ord("a") for letter in text))


QUESTIONS = tuple(map(question, TEXTS))


def answered(answering, questions=QUESTIONS) -> dict[str, tuple[int, ...]]:
    return {each.prompt_id: each.token_ids for each in answering(questions)}


def test_greedy_answers_are_those_of_plain_decoding(scripted, scripted_batch):
    found = answered(batched_answering(lambda: scripted_batch(0), LIMITS))
    for each in QUESTIONS:
        rounds = limited(plain_rounds(scripted(0), each.prompt_ids), LIMITS)
        assert found[each.prompt.id] == tuple(token for turn in rounds for token in turn.token_ids)


def test_the_model_opens_when_the_first_answer_is_asked_for(scripted_batch):
    opened = []
    answering = batched_answering(lambda: opened.append(True) or scripted_batch(0), LIMITS)
    answers = answering(QUESTIONS)
    assert opened == []
    next(answers)
    assert opened == [True]


@pytest.mark.parametrize("draws", [None, Draws(settings=SamplingSettings(temperature=1.5), seed=4)])
def test_answers_do_not_depend_on_batch_order_or_neighbours(scripted, scripted_batch, draws):
    wanted = answered(batched_answering(lambda: scripted_batch(0, rows=3), LIMITS, draws))
    for rows in (1, 2, 8):
        answering = batched_answering(lambda rows=rows: scripted_batch(0, rows=rows), LIMITS, draws)
        assert answered(answering, QUESTIONS[::-1]) == wanted
        assert answered(answering, QUESTIONS[2:4]) == {text: wanted[text] for text in TEXTS[2:4]}
    assert answered(batched_answering(lambda: OneByOne(scripted(0)), LIMITS, draws)) == wanted


def test_another_seed_draws_other_answers(scripted_batch):
    def drawn(seed):
        draws = Draws(settings=SamplingSettings(temperature=1.5), seed=seed)
        return answered(batched_answering(lambda: scripted_batch(0), LIMITS, draws))

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_the_generator_is_the_prompts_own():
    draws = Draws(settings=SamplingSettings(), seed=1)
    one, same, other = (draws.generator(each.prompt.digest).random() for each in (*QUESTIONS[:1] * 2, QUESTIONS[1]))
    assert one == same != other
    assert isinstance(draws.generator(QUESTIONS[0].prompt.digest), np.random.Generator)
