"""Greedy speculation gives the target's own text, token for token, whatever drafts and whatever came before."""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from edgedraft.runtime.core.decoding import speculative_rounds
from edgedraft.runtime.core.limits import Limits, limited
from edgedraft.runtime.core.policies import PolicyParts, build_drafter
from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.core.sources import ModelTokenSource
from edgedraft.runtime.engine import DecodingOptions, Engine

NEW_TOKENS = 12
LENGTHS = range(1, 9)
PROMPTS = 11
POLICIES = {
    "fixed": {"policy": "fixed"},
    "confident 0.1": {"policy": "confident", "p_min": 0.1},
    "confident 0.4": {"policy": "confident", "p_min": 0.4},
    "confident 0.8": {"policy": "confident", "p_min": 0.8},
    "ngram": {"policy": "ngram"},
    "ngram-or-drafter": {"policy": "ngram-or-drafter"},
    "adaptive": {"policy": "adaptive"},
    "adaptive, cheap drafter": {"policy": "adaptive"},
    "adaptive, erratic clock": {"policy": "adaptive"},
}
every_policy = pytest.mark.parametrize("policy", POLICIES)


def drafting(policy: str, draft_length: int) -> DecodingOptions:
    """The adaptive policy decides its lengths by itself."""
    length = {} if policy.startswith("adaptive") else {"draft_length": draft_length}
    return DecodingOptions(**POLICIES[policy], **length)


@pytest.fixture(scope="module")
def answer(engine, pass_clock, warm_pass_times):
    """The rounds of one answer by policy and draft length, on another engine where one is given."""
    clocks = {
        "adaptive, cheap drafter": lambda: (lambda _: 1e-2, lambda _: 1e-7),
        "adaptive, erratic clock": lambda: (erratic(-6, 0), erratic(-9, -2)),
    }

    def on_clocks(engine, policy, prompt, limits) -> Iterator[Round]:
        """What `Engine.rounds` does, on a clock of our own, with passes of target and drafter that take what we say."""
        with engine.slots.taken(prompt) as slot:
            clock = pass_clock()
            pairs = zip((slot.target, slot.source.model), clocks[policy](), strict=True)
            target, model = (clock.timed(model, seconds) for model, seconds in pairs)
            source = ModelTokenSource(model, engine.bundle.index_map)
            parts = PolicyParts(source=source, pass_times=warm_pass_times(), clock=clock)
            drafter = build_drafter(engine.policy_of(drafting(policy, 1)), parts)
            yield from limited(speculative_rounds(target, drafter, prompt, clock=clock), limits)

    def rounds(policy, draft_length, prompt, limits, engine=engine) -> Iterator[Round]:
        if policy in clocks:
            return on_clocks(engine, policy, prompt, limits)
        return engine.rounds(prompt, limits, drafting(policy, draft_length))

    return rounds


def erratic(least: float, most: float) -> Callable[[int], float]:
    """Powers of ten at random."""
    rng = np.random.default_rng(11)
    return lambda _: 10 ** rng.uniform(least, most)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """One case: what came out, what should have, and how the drafts fared."""

    policy: str
    found: list[int]
    expected: list[int]
    proposed: int
    accepted: int


def outcome(policy: str, rounds: Sequence[Round], expected: list[int]) -> Outcome:
    return Outcome(
        policy=policy,
        found=[token for turn in rounds for token in turn.token_ids],
        expected=expected,
        proposed=sum(turn.drafted for turn in rounds),
        accepted=sum(turn.accepted for turn in rounds),
    )


@pytest.fixture(scope="module")
def outcomes(answer, engine, reference, random_prompts) -> list[Outcome]:
    """Every policy, draft length and prompt, one after another on one engine, in random order."""
    prompts = [
        *random_prompts(PROMPTS - 3, seed=3),
        *(reference.echo(random_prompts(20, seed, longest=8)) for seed in (5, 6, 7)),
    ]
    cases = list(itertools.product(POLICIES, LENGTHS, prompts))
    np.random.default_rng(4).shuffle(order := np.arange(len(cases)))
    found = []
    for policy, draft_length, prompt in (cases[place] for place in order):
        expected = reference.answer(prompt, NEW_TOKENS, engine.bundle.manifest.end_token_ids)
        rounds = list(answer(policy, draft_length, prompt, engine.limits(NEW_TOKENS)))
        found.append(outcome(policy, rounds, expected))
    return found


@every_policy
def test_speculation_gives_the_targets_own_tokens(policy, outcomes):
    """Draft lengths 1..8, random prompts."""
    mine = [case for case in outcomes if case.policy == policy]
    assert len(mine) == PROMPTS * len(LENGTHS)
    for case in mine:
        assert case.found == case.expected


def test_five_hundred_cases_were_tried_and_the_drafter_was_right_only_sometimes(outcomes):
    """The adaptive policy takes no draft length, and on the real clock it may not draft at all: neither is counted."""
    assert sum(not case.policy.startswith("adaptive") for case in outcomes) >= 500
    proposed, accepted = (sum(getattr(case, what) for case in outcomes) for what in ("proposed", "accepted"))
    assert 0.05 < accepted / proposed < 0.95
    for policy in POLICIES.keys() - {"adaptive"}:
        mine = [case for case in outcomes if case.policy == policy]
        assert 0 < sum(case.accepted for case in mine) < sum(case.proposed for case in mine), policy


@every_policy
def test_chats_whose_prompts_extend_each_other(policy, answer, reference, random_prompts, tokens_of):
    """Six turns: each prompt is the last one, its answer, whole or half of it, and something new."""
    prompt: list[int] = []
    for turn, more in enumerate(random_prompts(6, seed=21, longest=20)):
        prompt = [*prompt, *more]
        found = tokens_of(answer(policy, turn + 1, prompt, Limits(max_new_tokens=NEW_TOKENS)))
        assert found == reference.answer(prompt, NEW_TOKENS)
        prompt += found if turn % 3 else found[: NEW_TOKENS // 2]


@every_policy
def test_prompts_that_share_a_beginning_with_others_are_answered_as_if_new(
    policy, answer, engine, reference, random_prompts, tokens_of
):
    """Cut anywhere, one token swapped, or the very prompt again; what is kept of it in memory changes nothing."""
    rng = np.random.default_rng(31)
    prompt = random_prompts(1, seed=32, longest=60)[0]
    for number in range(12):
        cut = int(rng.integers(0, len(prompt)))
        more = rng.integers(2, 1024, rng.integers(0, 12)).tolist()
        prompt = [*prompt[:cut], *more] or [2]
        found = tokens_of(answer(policy, 1 + number % 8, prompt, Limits(max_new_tokens=8)))
        assert found == reference.answer(prompt, 8)
        prompt += found[: int(rng.integers(0, 9))]


@every_policy
def test_a_cancelled_answer_leaves_nothing_behind(policy, answer, engine, reference, random_prompts):
    """Closed before or after any round; the next prompt goes on from it, shares a part of it, or is another one."""
    rng = np.random.default_rng(41)
    for number, prompt in enumerate(random_prompts(15, seed=42, longest=30)):
        rounds = answer(policy, 1 + number % 8, prompt, Limits(max_new_tokens=40))
        read = [token for turn in itertools.islice(rounds, int(rng.integers(0, 9))) for token in turn.token_ids]
        rounds.close()
        assert read == reference.answer(prompt, len(read))
        following = [[*prompt, *read, 9], [*prompt, *read[: len(read) // 2], 9, 8], random_prompts(1, seed=number)[0]]
        following = following[number % 3]
        limits = Limits(max_new_tokens=8)
        found = [token for turn in answer(policy, 3, following, limits) for token in turn.token_ids]
        assert found == reference.answer(following, 8)


@pytest.fixture(scope="module")
def short_engine(tiny_bundle) -> Engine:
    return Engine.open(tiny_bundle, context_length=40)


@every_policy
def test_an_answer_that_reaches_the_end_of_the_context_just_ends(policy, answer, short_engine, reference, tokens_of):
    """Prompts from one token to all but one; the last token needs no place in the context."""
    prompt = np.random.default_rng(51).integers(2, 1024, 39).tolist()
    for length in (*range(1, 30, 4), *range(30, 40)):
        limits = Limits(max_new_tokens=500)
        found = tokens_of(answer(policy, 1 + length % 8, prompt[:length], limits, short_engine))
        assert found == reference.answer(prompt[:length], 41 - length)


@every_policy
def test_an_answer_is_cut_after_the_tokens_asked_for(policy, answer, engine, reference, random_prompts, tokens_of):
    """Cuts at 1..10 tokens fall before, in and behind the drafts of a round."""
    prompt = reference.echo(random_prompts(20, seed=61, longest=8))
    for draft_length in (1, 3, 8):
        for length in range(1, 11):
            rounds = list(answer(policy, draft_length, prompt, Limits(max_new_tokens=length)))
            assert tokens_of(rounds) == reference.answer(prompt, length)
            assert all(turn.accepted <= min(turn.drafted, len(turn.token_ids)) for turn in rounds)


@every_policy
def test_an_answer_ends_with_its_end_token_wherever_in_a_round_that_falls(
    policy, answer, engine, reference, random_prompts, tokens_of
):
    """Each of the target's first tokens in turn is made the end; it is kept and nothing follows."""
    prompt = random_prompts(1, seed=71)[0]
    for token in reference.answer(prompt, 10):
        limits = Limits(max_new_tokens=NEW_TOKENS, end_token_ids=(token,))
        found = tokens_of(answer(policy, 6, prompt, limits))
        assert found == reference.answer(prompt, NEW_TOKENS, (token,))
        assert found[-1] == token


@every_policy
@pytest.mark.parametrize("at_once", [2, 4])
def test_answers_whose_rounds_alternate_do_not_touch_each_other(policy, at_once, answer, reference, random_prompts):
    """More answers at once than slots are kept, their rounds in random order, one of them given up on the way."""
    rng = np.random.default_rng(81)
    prompts = random_prompts(at_once, seed=82)
    running = {
        number: answer(policy, 2 + number, prompt, Limits(max_new_tokens=NEW_TOKENS))
        for number, prompt in enumerate(prompts)
    }
    found: list[list[int]] = [[] for _ in prompts]
    while running:
        number = int(rng.choice(list(running)))
        turn = next(running[number], None)
        if turn is None or (number == 1 and len(found[number]) > 4):
            running.pop(number).close()
        found[number] += turn.token_ids if turn else ()
    for number, prompt in enumerate(prompts):
        assert found[number] == reference.answer(prompt, len(found[number]))
        assert len(found[number]) == NEW_TOKENS or number == 1


def test_answers_in_two_threads_do_not_touch_each_other(answer, engine, reference, random_prompts, tokens_of):
    """Each thread works through all policies; the slots go back and forth between them."""
    prompts = random_prompts(6, seed=91)
    expected = [reference.answer(prompt, NEW_TOKENS) for prompt in prompts]
    wrong: list[object] = []

    def work(offset: int) -> None:
        for number, (policy, prompt) in enumerate(itertools.product(POLICIES, range(len(prompts)))):
            prompt = (prompt + offset) % len(prompts)
            rounds = answer(policy, 1 + number % 8, prompts[prompt], Limits(max_new_tokens=NEW_TOKENS))
            if tokens_of(rounds) != expected[prompt]:
                wrong.append((policy, prompt))

    threads = [threading.Thread(target=work, args=(offset,)) for offset in (0, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_text_is_the_one_that_transformers_generates(answer, engine, tiny_pair, random_prompts, tokens_of):
    """Hugging Face's own model and greedy ``generate`` in fp32, from the weights that were exported."""
    import torch
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(tiny_pair.target, dtype=torch.float32)
    for number, prompt in enumerate(random_prompts(6, seed=101)):
        ids = torch.tensor([prompt])
        with torch.no_grad():
            whole = model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0
            )
        expected = whole[0, len(prompt) :].tolist()
        for policy in POLICIES:
            assert tokens_of(answer(policy, 1 + number, prompt, engine.limits(NEW_TOKENS))) == expected


def test_drawing_at_temperature_zero_is_greedy(engine, reference, random_prompts, tokens_of):
    for number, prompt in enumerate(random_prompts(12, seed=121)):
        for policy in POLICIES:
            options = replace(drafting(policy, 1 + number % 8), sampling=SamplingSettings(temperature=0))
            found = tokens_of(engine.rounds(prompt, Limits(max_new_tokens=NEW_TOKENS), options))
            assert found == reference.answer(prompt, NEW_TOKENS)


def test_the_log_probabilities_are_those_of_decoding_alone(engine, random_prompts):
    """Also for tokens that were drafted, up to how a pass over one token rounds otherwise than one over several."""
    every = [
        DecodingOptions(speculate=False, log_probs=True),
        DecodingOptions(policy="fixed", draft_length=5, log_probs=True),
        DecodingOptions(policy="ngram-or-drafter", draft_length=2, log_probs=True),
    ]
    for prompt in random_prompts(6, seed=111):
        answers = [list(engine.rounds(prompt, Limits(max_new_tokens=NEW_TOKENS), options)) for options in every]
        alone, *drafted = ([value for turn in rounds for value in turn.log_probs] for rounds in answers)
        assert len(alone) == NEW_TOKENS
        assert drafted == [pytest.approx(alone, abs=1e-4)] * 2
