"""Calibration: the halves stay apart, and what is finished is never done again."""

import json

import numpy as np
import pytest

from edgedraft.calibration.prompts import parse_prompts
from edgedraft.calibration.run import CalibrationJob, calibrate
from edgedraft.calibration.sampling import answer
from edgedraft.calibration.trace import AcceptanceTrace, trace_answers
from edgedraft.runtime.generation import Limits

TEXTS = ("abc", "fade", "hi", "beef", "cab", "jig")
LIMITS = Limits(max_new_tokens=8, end_token_ids=(3,))
TARGET, DRAFTER = 1, 2


@pytest.fixture
def job(tmp_path, vocab_size) -> CalibrationJob:
    prompts = parse_prompts("\n".join(json.dumps({"prompt": text}) for text in TEXTS), "here")
    return CalibrationJob(prompts=prompts, limits=LIMITS, vocab_size=vocab_size, folder=tmp_path / "calibration")


def never():
    raise AssertionError("a model was opened")


def greedy(model, texts, codec):
    return [answer(model, codec.encode_chat([{"content": text}]), LIMITS) for text in texts]


def histogram(answers, vocab_size) -> list[int]:
    return np.bincount([token for each in answers for token in each], minlength=vocab_size).tolist()


def test_each_half_is_answered_by_whom_it_should(job, scripted, codec, vocab_size):
    got = calibrate(job, lambda: scripted(TARGET), lambda: scripted(DRAFTER), codec)
    by_target = greedy(scripted(TARGET), TEXTS[0::2], codec)
    by_drafter = greedy(scripted(DRAFTER), TEXTS[0::2], codec)
    scoring = greedy(scripted(TARGET), TEXTS[1::2], codec)
    assert got.ranking_by_target.counts.tolist() == histogram(by_target, vocab_size)
    assert got.ranking_by_drafter.counts.tolist() == histogram(by_drafter, vocab_size)
    assert got.scoring.counts.tolist() == histogram(scoring, vocab_size)
    assert [each.token_ids for each in got.scoring_answers] == scoring
    told = [(each.source, each.prompts) for each in (got.ranking_by_target, got.ranking_by_drafter, got.scoring)]
    assert told == [("target", 3), ("drafter", 3), ("target", 3)]
    assert got.scoring.tokenizer_fingerprint == codec.fingerprint


def test_the_drafter_is_traced_on_the_scoring_answers(job, scripted, codec):
    got = calibrate(job, lambda: scripted(TARGET), lambda: scripted(DRAFTER), codec)
    expected = trace_answers(scripted(DRAFTER), got.scoring_answers)
    for name in AcceptanceTrace.__slots__:
        assert np.array_equal(getattr(got.trace, name), getattr(expected, name))


def test_a_second_call_opens_no_model_and_gives_the_same(job, scripted, codec):
    first = calibrate(job, lambda: scripted(TARGET), lambda: scripted(DRAFTER), codec)
    again = calibrate(job, never, never, codec)
    assert again.scoring_answers == first.scoring_answers
    for name in ("ranking_by_target", "ranking_by_drafter", "scoring"):
        assert getattr(again, name).counts.tolist() == getattr(first, name).counts.tolist()
    for name in AcceptanceTrace.__slots__:
        assert np.array_equal(getattr(again.trace, name), getattr(first.trace, name))


def test_a_run_stopped_before_the_drafter_goes_on_without_the_targets_first_half(job, scripted, codec):
    def stopped():
        raise KeyboardInterrupt

    opened = []

    def target():
        opened.append("target")
        return scripted(TARGET)

    with pytest.raises(KeyboardInterrupt):
        calibrate(job, target, stopped, codec)
    assert opened == ["target"] * 3
    calibrate(job, target, lambda: scripted(DRAFTER), codec)
    assert opened == ["target"] * 6


def test_progress_names_who_answers_what(job, scripted, codec):
    seen = []
    calibrate(job, lambda: scripted(TARGET), lambda: scripted(DRAFTER), codec, lambda *facts: seen.append(facts))
    whats = list(dict.fromkeys(what for what, _, _ in seen))
    assert whats == [
        "target's answers to rank prompts",
        "drafter's answers to rank prompts",
        "target's answers to score prompts",
        "answers traced",
    ]
    assert {(done, total) for _, done, total in seen} == {(done, 3) for done in range(4)}
