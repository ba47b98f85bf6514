"""An engine answers many prompts, one after another or at once, and each as if it were the only one."""

import dataclasses
import itertools
import re
import threading

import numpy as np
import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.limits import Limits
from edgedraft.runtime.core.policies import POLICIES, PolicyChoice
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.engine import DecodingOptions, Engine

LIMITS = Limits(max_new_tokens=40)
PLAIN = DecodingOptions(speculate=False)
SIZES = (1, 2, 40, 9, 77)
PROMPTS = [[number % 256 for number in range(start, start + 3 * size, 3)] for start, size in enumerate(SIZES)]


@pytest.fixture(scope="module")
def engine(ledger_bundle):
    return Engine.open(ledger_bundle, context_length=256)


@pytest.fixture(scope="module")
def opened(ledger_bundle):
    """Engines of their own, for tests that look at the slots."""
    return lambda **options: Engine.open(ledger_bundle, **{"context_length": 256} | options)


def tokens_of(rounds):
    return [token for turn in rounds for token in turn.token_ids]


@pytest.fixture(scope="module")
def plain(ledger_bundle):
    """The target's own answers by a fresh engine each."""
    cache = {}

    def answer(prompt, limits=LIMITS):
        key = tuple(prompt)
        if key not in cache:
            cache[key] = tokens_of(Engine.open(ledger_bundle, context_length=256).rounds(prompt, limits, PLAIN))
        return cache[key]

    return answer


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_answers_every_prompt_like_the_target_alone(engine, plain, policy):
    for prompt in PROMPTS:
        assert tokens_of(engine.rounds(prompt, LIMITS, DecodingOptions(policy=policy))) == plain(prompt)


def test_policies_that_draft_were_often_right(engine):
    rounds = list(engine.rounds(PROMPTS[2], LIMITS, DecodingOptions(policy="fixed")))
    assert sum(turn.accepted for turn in rounds) > 5


@pytest.mark.parametrize("policy", ["fixed", "adaptive", "ngram-or-drafter"])
def test_answers_given_up_at_any_round_change_no_later_answer(engine, plain, policy):
    for number, prompt in enumerate(PROMPTS * 2):
        rounds = engine.rounds(prompt, LIMITS, DecodingOptions(policy=policy))
        list(itertools.islice(rounds, number % 4))
        rounds.close()
        other = PROMPTS[(number + 1) % len(PROMPTS)]
        assert tokens_of(engine.rounds(other, LIMITS, DecodingOptions(policy=policy))) == plain(other)


def test_answers_at_once_from_many_threads_are_right(engine, plain):
    found, expected = {}, {number: plain(prompt) for number, prompt in enumerate(PROMPTS)}

    def run(number, policy):
        options = DecodingOptions(policy=policy)
        found[number, policy] = tokens_of(engine.rounds(PROMPTS[number], LIMITS, options))

    jobs = [(number, policy) for number in range(len(PROMPTS)) for policy in ("adaptive", "fixed")]
    threads = [threading.Thread(target=run, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {job: expected[job[0]] for job in jobs}


def test_two_answers_in_turns_do_not_disturb_each_other(engine, plain):
    one, other = (engine.rounds(prompt, LIMITS, DecodingOptions(policy="fixed")) for prompt in PROMPTS[2:4])
    found = [[], []]
    for turns in itertools.zip_longest(one, other):
        for text, turn in zip(found, turns, strict=True):
            text += turn.token_ids if turn else ()
    assert found == [plain(prompt) for prompt in PROMPTS[2:4]]


def test_a_talk_reads_only_what_is_new(opened):
    engine = opened()
    messages = [{"role": "user", "content": "sort a list of words"}]
    messages.append(engine.chat(messages, max_new_tokens=12))
    before = engine.codec.encode_chat(messages[:1])
    with engine.slots.taken(before) as slot:
        assert list(slot.target.token_ids)[: len(before)] == before
        assert list(slot.source.model.token_ids)[: len(before)] == before
    messages.append({"role": "user", "content": "now merge"})
    fresh = opened().chat(messages, max_new_tokens=12)
    assert engine.chat(messages, max_new_tokens=12) == fresh
    assert fresh["role"] == "assistant"


def test_stream_generate_and_chat_give_one_text(engine):
    talk = [{"role": "user", "content": "hello"}]
    whole = engine.generate("hello", max_new_tokens=20).text
    assert engine.generate(talk, max_new_tokens=20).text == engine.chat(talk, max_new_tokens=20)["content"] == whole
    assert "".join(piece.text for piece in engine.stream("hello", max_new_tokens=20)) == whole
    assert whole != ""


def test_pieces_hold_every_token_and_its_log_probability(engine, plain):
    options = DecodingOptions(policy="fixed", log_probs=True)
    pieces = list(engine.stream("hello", max_new_tokens=30, options=options))
    ids = [token for piece in pieces for token in piece.token_ids]
    prompt = engine.codec.encode_chat([{"role": "user", "content": "hello"}])
    assert ids == tokens_of(engine.rounds(prompt, engine.limits(30), PLAIN))
    scores = [score for piece in pieces for score in piece.log_probs]
    assert len(scores) == len(ids)
    with engine.slots.taken() as slot:
        slot.clear()
        rows = slot.target.read([*prompt, *ids]).logits[len(prompt) - 1 : -1].astype(np.float64)
    expected = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
    assert scores == pytest.approx(expected[range(len(ids)), ids].tolist(), abs=1e-5)


def test_log_probabilities_are_left_out_unless_asked_for(engine):
    assert {turn.log_probs for turn in engine.rounds([1, 2], LIMITS)} == {()}


def test_long_talks_lose_their_oldest_turns(opened):
    engine = opened(context_length=64)
    talk = [{"role": role, "content": "x" * 15} for role in ("user", "assistant") * 3]
    talk.append({"role": "user", "content": "last"})
    found = engine.fit(talk, 16)
    assert found.dropped_messages == 4
    assert list(found.token_ids) == engine.codec.encode_chat(talk[4:])
    assert len(engine.fit(talk[-1:], 10_000).token_ids) <= 64 - 16
    assert isinstance(engine.chat(talk, max_new_tokens=16)["content"], str)


def test_prompts_without_a_meaning_are_refused_at_once(engine, raises_exactly):
    with raises_exactly("the prompt holds no token - write a prompt"):
        engine.rounds([], LIMITS)
    remedy = "shorten the prompt or open the bundle with a larger context"
    with raises_exactly(f"the prompt must be shorter than the context of 256 tokens, got 256 - {remedy}"):
        engine.rounds([1] * 256, LIMITS)
    with raises_exactly(f"policy: expected one of {', '.join(POLICIES)}, got eager"):
        engine.rounds([1], LIMITS, DecodingOptions(policy="eager"))
    with raises_exactly("draft length must be at least 1, got 0"):
        engine.rounds([1], LIMITS, DecodingOptions(draft_length=0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"draft_length": 5, "policy": "adaptive"},
            "the adaptive policy takes no draft length, got 5",
        ),
        ({"draft_length": 5, "policy": "plain"}, "the plain policy takes no draft length, got 5"),
        ({"draft_length": 5, "speculate": False}, "the plain policy takes no draft length, got 5"),
        ({"p_min": 0.5, "policy": "fixed"}, "the fixed policy takes no p_min, got 0.5"),
        (
            {"policy": "fixed", "speculate": False},
            "speculate False and policy fixed",
        ),
        (
            {"policy": "plain", "speculate": True},
            "speculate True and policy plain",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(engine, options, message):
    with pytest.raises(EdgedraftError, match=re.escape(message)):
        engine.rounds([1], LIMITS, DecodingOptions(**options))


def test_a_prompt_one_token_short_of_the_context_is_answered(engine):
    assert len(tokens_of(engine.rounds([1] * 255, LIMITS))) == 2


SAMPLED = SamplingSettings(temperature=0.8)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "adaptive"),
        ({"speculate": False}, "plain"),
        ({"speculate": True}, "adaptive"),
        ({"policy": "ngram"}, "ngram"),
        ({"policy": "plain"}, "plain"),
        ({"policy": "plain", "speculate": False}, "plain"),
        ({"policy": "ngram", "speculate": True}, "ngram"),
        ({"p_min": 0.5}, "confident"),
        ({"draft_length": 5}, "fixed"),
        ({"draft_length": 5, "policy": "ngram"}, "ngram"),
        ({"sampling": SAMPLED}, "adaptive"),
        ({"sampling": SAMPLED, "seed": 3}, "fixed"),
        ({"sampling": SAMPLED, "seed": 0}, "fixed"),
        ({"seed": 3}, "adaptive"),
        ({"sampling": SAMPLED, "seed": 3, "policy": "adaptive"}, "adaptive"),
    ],
    ids=str,
)
def test_the_policy_follows_from_options_and_plan(engine, options, name):
    chosen = engine.policy_of(DecodingOptions(**options))
    assert (chosen.name, chosen.draft_length) == (name, options.get("draft_length", 3))


def test_drawn_answers_repeat_with_their_seed_whatever_was_answered_before(engine):
    options = DecodingOptions(sampling=SAMPLED, seed=5, speculate=True)
    first = tokens_of(engine.rounds(PROMPTS[2], LIMITS, options))
    tokens_of(engine.rounds(PROMPTS[4], LIMITS))
    assert tokens_of(engine.rounds(PROMPTS[2], LIMITS, options)) == first
    other = DecodingOptions(sampling=SAMPLED, seed=6, speculate=True)
    assert tokens_of(engine.rounds(PROMPTS[2], LIMITS, other)) != first


def test_numbers_of_a_policy_come_from_the_options(engine):
    found = engine.policy_of(DecodingOptions(policy="confident", p_min=0.9))
    assert found == PolicyChoice(name="confident", draft_length=3, p_min=0.9)


def test_an_answer_that_fails_leaves_the_engine_as_good_as_new(opened, plain, monkeypatch):
    engine = opened()
    rounds = engine.rounds(PROMPTS[2], LIMITS, DecodingOptions(policy="fixed"))
    next(rounds)
    with pytest.raises(RuntimeError, match="memory is gone"):
        rounds.throw(RuntimeError("memory is gone"))
    with engine.slots.taken(PROMPTS[2]) as slot:
        assert (slot.target.length, slot.source.model.length) == (0, 0)
    assert tokens_of(engine.rounds(PROMPTS[2], LIMITS)) == plain(PROMPTS[2])


@pytest.mark.parametrize("option", ["target_provider", "drafter_provider"])
def test_an_unknown_provider_is_refused(opened, option):
    with pytest.raises(Exception, match=r"^provider: this onnxruntime offers .*, got abacus - choose one of these or "):
        opened(**{option: "abacus"})


@pytest.mark.parametrize(
    ("options", "chance", "name"),
    [
        ({}, 0.3, "adaptive"),
        ({}, 0.05, "plain"),
        ({"sampling": SAMPLED, "seed": 3}, 0.3, "plain"),
        ({"speculate": True}, 0.05, "adaptive"),
    ],
    ids=str,
)
def test_a_plan_that_says_no_but_may_be_wrong_is_left_to_the_adaptive_policy(engine, options, chance, name):
    manifest = engine.bundle.manifest
    plan = dataclasses.replace(manifest.plan, speculate=False, chance_to_pay=chance)
    doubtful = object.__new__(Engine)
    doubtful.bundle = dataclasses.replace(engine.bundle, manifest=dataclasses.replace(manifest, plan=plan))
    assert doubtful.policy_of(DecodingOptions(**options)).name == name
