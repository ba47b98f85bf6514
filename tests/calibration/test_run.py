"""Calibration: the halves stay apart, every source counts what it says, and what is finished is never done again."""

import dataclasses
import json

import numpy as np
import pytest

from edgedraft.calibration.answers.batched import Draws, batched_answering
from edgedraft.calibration.data.samples import add_digests
from edgedraft.calibration.prompts import parse_prompts
from edgedraft.calibration.run import CalibrationJob, ModelHandle, calibrate
from edgedraft.calibration.trace.greedy import trace_answers
from edgedraft.runtime.core.decoding import plain_rounds
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.sampling import SamplingSettings

TEXTS = ("abc", "fade", "hi", "beef", "cab", "jig")
GENERATED = ("target", "drafter", "accepted")
LIMITS = Limits(max_new_tokens=8, end_token_ids=(3,))
TARGET, DRAFTER = 1, 2
RANKED, SCORED = TEXTS[0::2], TEXTS[1::2]


@pytest.fixture
def job(tmp_path, vocab_size) -> CalibrationJob:
    prompts = parse_prompts("\n".join(json.dumps({"prompt": text}) for text in TEXTS), "here")
    return CalibrationJob(
        prompts=prompts,
        sources=GENERATED,
        draws=None,
        vocab_size=vocab_size,
        folder=tmp_path / "calibration",
        options={"max_new_tokens": LIMITS.max_new_tokens},
    )


@pytest.fixture
def pair(scripted, scripted_batch):
    """``pair(draws)`` is target and drafter, and a list of what was opened of them."""

    def make(draws=None) -> tuple[ModelHandle, ModelHandle, list[str]]:
        opened: list[str] = []

        def handle(name: str, seed: int) -> ModelHandle:
            return ModelHandle(
                name=name,
                answering=batched_answering(lambda: opened.append(name) or scripted_batch(seed), LIMITS, draws),
                open_model=lambda: opened.append(f"{name} to trace") or scripted(seed),
            )

        return handle("big", TARGET), handle("small", DRAFTER), opened

    return make


def greedy(model, texts, codec):
    found = []
    for text in texts:
        model.rewind(0)
        rounds = limited(plain_rounds(model, codec.encode_chat([{"content": text}])), LIMITS)
        found.append(tuple(token for turn in rounds for token in turn.token_ids))
    return found


def histogram(answers, vocab_size) -> list[int]:
    return np.bincount([token for each in answers for token in each], minlength=vocab_size).tolist()


def same(left, right) -> bool:
    return type(left) is type(right) and all(
        np.array_equal(getattr(left, field.name), getattr(right, field.name)) for field in dataclasses.fields(left)
    )


def test_each_half_is_answered_by_whom_it_should(job, pair, scripted, codec, vocab_size):
    target, drafter, _ = pair()
    got = calibrate(job, target, drafter, codec)
    scoring = greedy(scripted(TARGET), SCORED, codec)
    assert tuple(got.ranking) == GENERATED
    assert got.ranking["target"].counts.tolist() == histogram(greedy(scripted(TARGET), RANKED, codec), vocab_size)
    assert got.ranking["drafter"].counts.tolist() == histogram(greedy(scripted(DRAFTER), RANKED, codec), vocab_size)
    assert got.scoring.counts.tolist() == histogram(scoring, vocab_size)
    assert [each.token_ids for each in got.scoring_answers] == scoring


def test_accepted_counts_what_the_drafter_proposes_and_the_target_keeps(job, pair, scripted, codec, vocab_size):
    target, drafter, _ = pair()
    got = calibrate(job, target, drafter, codec).ranking["accepted"]
    kept = []
    for text, answer in zip(RANKED, greedy(scripted(TARGET), RANKED, codec), strict=True):
        model = scripted(DRAFTER)
        drafted = model.read([*codec.encode_chat([{"content": text}]), *answer]).logits[len(text) : -1].argmax(axis=-1)
        kept += [token for token, draft in zip(answer[1:], drafted, strict=True) if token == draft]
    assert 0 < len(kept) < sum(map(len, RANKED)) + 3 * LIMITS.max_new_tokens
    assert got.counts.tolist() == histogram([kept], vocab_size)
    assert got.prompts == len(RANKED)


def test_counts_say_where_they_come_from(job, pair, codec):
    target, drafter, _ = pair()
    got = calibrate(job, target, drafter, codec)
    told = {source: each.provenance for source, each in got.ranking.items()}
    assert {source: each.source for source, each in told.items()} == {source: source for source in GENERATED}
    names = {source: each.model for source, each in told.items()}
    assert names == {"target": "big", "drafter": "small", "accepted": "small for big"}
    digest = add_digests(*(prompt.digest for prompt in job.prompts if prompt.split == "rank"))
    assert {each.prompts_digest for each in told.values()} == {digest} != {got.scoring.provenance.prompts_digest}
    assert {each.tokenizer_fingerprint for each in told.values()} == {codec.fingerprint}
    assert all(each.options == {"max_new_tokens": 8} for each in told.values())


def test_the_drafter_is_traced_on_the_scoring_answers(job, pair, scripted, codec):
    target, drafter, _ = pair()
    got = calibrate(job, target, drafter, codec)
    assert same(got.trace, trace_answers(scripted(DRAFTER), got.scoring_answers))


def test_only_the_sources_asked_for_are_made(job, pair, codec):
    target, drafter, opened = pair()
    got = calibrate(dataclasses.replace(job, sources=("target",)), target, drafter, codec)
    assert tuple(got.ranking) == ("target",)
    assert opened == ["big", "big", "small to trace"]


def test_a_second_call_opens_no_model_and_gives_the_same(job, pair, codec):
    target, drafter, opened = pair()
    first = calibrate(job, target, drafter, codec)
    before = list(opened)
    again = calibrate(job, target, drafter, codec)
    assert opened == before
    assert again.scoring_answers == first.scoring_answers
    for source in GENERATED:
        assert np.array_equal(again.ranking[source].by_group, first.ranking[source].by_group)
    assert same(again.trace, first.trace)


def test_a_run_stopped_before_the_drafter_goes_on_without_the_targets_first_half(job, pair, codec):
    target, drafter, opened = pair()

    def stopped(questions):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrate(job, target, dataclasses.replace(drafter, answering=stopped), codec)
    assert opened == ["big"]
    calibrate(job, target, drafter, codec)
    assert opened == ["big", "small", "small to trace", "big", "small to trace"]


def test_drawn_answers_are_traced_with_both_models(job, pair, codec):
    draws = Draws(settings=SamplingSettings(temperature=1.5), seed=3)
    target, drafter, opened = pair(draws)
    got = calibrate(dataclasses.replace(job, draws=draws, sources=("target",)), target, drafter, codec)
    assert opened[-2:] == ["small to trace", "big to trace"]
    assert got.trace.settings == draws.settings
    again = calibrate(dataclasses.replace(job, draws=draws, sources=("target",)), target, drafter, codec)
    assert same(again.trace, got.trace)


def test_progress_names_who_answers_what(job, pair, codec):
    target, drafter, _ = pair()
    seen = []
    calibrate(job, target, drafter, codec, lambda *facts: seen.append(facts))
    whats = list(dict.fromkeys(what for what, _, _ in seen))
    assert whats == [
        "target's answers to rank prompts",
        "drafter's answers to rank prompts",
        "rank answers traced",
        "target's answers to score prompts",
        "score answers traced",
    ]
    assert {(done, total) for _, done, total in seen} == {(done, 3) for done in range(4)}
