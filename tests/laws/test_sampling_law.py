"""Speculation by drawing follows the target's exact law on real logits, over whole texts; planted faults do not.

Rows of logits come from the real ONNX pair; the loop, the policies and the verifier are the runtime's own. 20,000
answers a case run as a `Crowd`: the code runs once for all walkers that go the same way. Two checks a case: the counts
against the law (chi-square, Bonferroni over all cases) and, where every way is walked, the chances themselves.
"""

import numpy as np
import pytest

from edgedraft.runtime.core import sampling
from edgedraft.runtime.core.adaptive import ExpectedGain
from edgedraft.runtime.core.decoding import sampled, speculative_rounds
from edgedraft.runtime.core.drafter import Draft
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.limits import Limits
from edgedraft.runtime.core.ngram import NgramSource
from edgedraft.runtime.core.policies import Confident, FixedLength
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.core.sources import FirstOf, ModelTokenSource
from edgedraft.runtime.core.token_drafter import TokenDrafter
from edgedraft.runtime.engine import DecodingOptions
from edgedraft.runtime.onnx.session import open_model
from tests.laws.exact_law import Found, Law, Text, distribution, exact_law, p_value

pytestmark = pytest.mark.usefixtures("torch_alone")

WALKERS = 20_000
VOCAB = 1024
CASES = {
    "temperature 1": (SamplingSettings(top_k=3), 3),
    "temperature 0.5": (SamplingSettings(temperature=0.5, top_k=3), 3),
    "top-p": (SamplingSettings(temperature=2.0, top_k=8, top_p=0.8), 2),
    "min-p": (SamplingSettings(temperature=2.0, top_k=8, min_p=0.2), 2),
    "everything": (SamplingSettings(temperature=1.5, top_k=6, top_p=0.95, min_p=0.05, repetition_penalty=1.2), 2),
}
"""Settings, and the places left behind the prompt: so many tokens follow the first, which is never drafted."""
BEST_THREE = CASES["temperature 1"]

SIZES = (16, 256, VOCAB)
POLICIES = {
    "fixed 1": lambda source, times: (source, FixedLength(1)),
    "confident": lambda source, times: (source, Confident(3, 0.35)),
    "ngram": lambda source, times: (NgramSource(), FixedLength(3)),
    "ngram-or-drafter": lambda source, times: (FirstOf(NgramSource(), source), FixedLength(2)),
    "adaptive": lambda source, times: (FirstOf(NgramSource(), source), ExpectedGain(times)),
}
ALARM = 0.001 / (len(CASES) * len(SIZES) + len(POLICIES) + 20)
CAUGHT = 1e-6
"""A planted fault must be less likely than this under the law; the faintest of them is at 1e-48."""


class Stage:
    """The real rows, and the two prompts the law is checked on: one that drafts fit well, one that says its answer."""

    def __init__(self, engine, opened, reference, remembered, prompts) -> None:
        self.target = remembered(open_model(engine.bundle.target_graph, engine.settings))
        full = remembered(opened.drafter_model)
        self.likely = max(map(tuple, prompts), key=lambda prompt: self._overlap(full, prompt))
        self.echo = tuple(reference.echo(prompts))
        few = np.sort(np.argsort(-sum(full.row(context) for context in self._contexts(self.likely)))[:16])
        trimmed = remembered(open_model(engine.bundle.drafter_graph, engine.settings))
        self._drafters = {
            16: (remembered(opened.drafter_model, few), IndexMap(target_ids=few, target_vocab_size=VOCAB)),
            256: (trimmed, engine.bundle.index_map),
            VOCAB: (full, IndexMap.identity(VOCAB)),
        }

    def source(self, size: int, context_length: int, clock) -> ModelTokenSource:
        model, index_map = self._drafters[size]
        return ModelTokenSource(clock.timed(model.new_model(context_length), lambda _: 1e-7), index_map)

    def _contexts(self, prompt) -> list[tuple[int, ...]]:
        return [(*prompt, int(token)) for token in np.argsort(-self.target.row(tuple(prompt)))[:3]]

    def _overlap(self, drafter, prompt) -> float:
        """The least chance that a draft is kept after any of the three likeliest tokens."""
        best3 = SamplingSettings(top_k=3)
        both = [
            [distribution(model.row(at), best3, at) for model in (self.target, drafter)]
            for at in self._contexts(prompt)
        ]
        return min(float(np.minimum(*pair).sum()) for pair in both)


@pytest.fixture(scope="module")
def stage(engine, tiny_opened, reference, remembered, random_prompts) -> Stage:
    return Stage(engine, tiny_opened, reference, remembered, random_prompts(60, seed=1, longest=6))


@pytest.fixture
def walk(stage, crowd, pass_clock, warm_pass_times):
    """Runs the loop to the end of the context for all walkers."""

    def run(policy, settings, prompt, size=256, room=3, exact=True, drafting=TokenDrafter) -> Found:
        found, walkers = Found(), crowd(WALKERS, seed=9, exact=exact)
        context_length = len(prompt) + room
        for _ in walkers.ways():
            clock = pass_clock()
            target = clock.timed(stage.target.new_model(context_length), lambda _: 1e-2)
            drafter = drafting(*policy(stage.source(size, context_length, clock), warm_pass_times()), clock)
            turns = list(speculative_rounds(target, drafter, prompt, sampled(settings, walkers), clock=clock))
            text = tuple(token for turn in turns for token in turn.token_ids)
            found.chances[text] = found.chances.get(text, 0.0) + walkers.chance
            if walkers.walkers:
                found.counts[text] = found.counts.get(text, 0) + walkers.walkers
                found.proposed += walkers.walkers * sum(turn.drafted for turn in turns)
                found.accepted += walkers.walkers * sum(turn.accepted for turn in turns)
        return found

    return run


def by_two(source, times):
    return source, FixedLength(2)


def check(found: Found, law: Law) -> None:
    assert len(law) >= 8
    assert 0.05 < found.accepted / found.proposed < 0.95, "drafts must be kept only sometimes"
    assert sum(found.counts.values()) == WALKERS
    assert p_value(found.counts, law) > ALARM


def check_chances(found: Found, law: Law) -> None:
    assert sum(found.chances.values()) == pytest.approx(1, abs=1e-8)
    for text in law.keys() | found.chances.keys():
        assert found.chances.get(text, 0.0) == pytest.approx(law.get(text, 0.0), abs=1e-8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CASES)
def test_texts_follow_the_targets_law_whatever_the_drafter_lacks(name, size, stage, walk):
    """All tokens jointly, two drafts a round where there is room, drafters of 16, 256 and all 1,024 tokens."""
    settings, room = CASES[name]
    found = walk(by_two, settings, stage.likely, size, room)
    law = exact_law(stage.target, settings, stage.likely, room + 1)
    check(found, law)
    check_chances(found, law)


@pytest.mark.parametrize("name", POLICIES)
def test_texts_follow_the_targets_law_whatever_the_policy(name, stage, walk):
    settings, room = BEST_THREE
    found = walk(POLICIES[name], settings, stage.echo)
    law = exact_law(stage.target, settings, stage.echo, room + 1)
    check(found, law)
    check_chances(found, law)


@pytest.mark.parametrize("size", SIZES)
def test_texts_over_the_whole_vocabulary_follow_the_targets_law(size, stage, walk):
    """Nothing but a temperature: any token can follow any."""
    settings = SamplingSettings(temperature=0.6)
    found = walk(by_two, settings, stage.likely, size, room=2, exact=False)
    check(found, exact_law(stage.target, settings, stage.likely, 3, least=1 / WALKERS))


class Choosy(TokenDrafter):
    """Looks at what it drew before it decides whether to propose it."""

    def propose(self, committed, limit, sampler):
        draft = super().propose(committed, limit, sampler)
        return Draft(tokens=tuple(token for token in draft.tokens[:1] if token.token_id % 2))


FAULTS = {
    "a replacement drawn from all of the target's law": ("residual", lambda by_target, by_drafter: by_target),
    "every draft kept": ("keeps", lambda *_: True),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("size", SIZES)
def test_a_wrong_acceptance_is_caught(fault, size, stage, walk, monkeypatch):
    settings, room = BEST_THREE
    monkeypatch.setattr(sampling, *FAULTS[fault])
    found = walk(by_two, settings, stage.likely, size)
    assert p_value(found.counts, exact_law(stage.target, settings, stage.likely, room + 1)) < CAUGHT


def test_a_draft_length_that_looks_at_what_was_drawn_is_caught(stage, walk):
    settings, room = BEST_THREE
    found = walk(POLICIES["fixed 1"], settings, stage.likely, drafting=Choosy)
    assert p_value(found.counts, exact_law(stage.target, settings, stage.likely, room + 1)) < CAUGHT


@pytest.mark.parametrize("name", CASES)
def test_a_token_is_drawn_with_its_probability(name, stage):
    """The real generator, one number at a time: what a crowd takes for granted."""
    law = distribution(stage.target.row(stage.likely), CASES[name][0], stage.likely)
    rng = np.random.default_rng(12)
    found = np.bincount([sampling.draw(law, rng) for _ in range(50_000)], minlength=VOCAB)
    counts = {(token,): int(count) for token, count in enumerate(found) if count}
    assert p_value(counts, {(token,): float(chance) for token, chance in enumerate(law)}) > ALARM
    assert not found[law == 0].any()


@pytest.mark.parametrize("policy", ["fixed", "ngram-or-drafter", "adaptive"])
def test_answers_of_the_engine_follow_the_targets_law(policy, stage, engine):
    """Seeded answers from end to end: real sessions, real generator, slots used again and again."""
    settings, _ = BEST_THREE
    prompt = stage.echo if policy == "ngram-or-drafter" else stage.likely
    counts: dict[Text, int] = {}
    for seed in range(1000):
        length = None if policy == "adaptive" else 2
        options = DecodingOptions(policy=policy, draft_length=length, sampling=settings, seed=seed)
        rounds = engine.rounds(prompt, Limits(max_new_tokens=3), options)
        text = tuple(token for turn in rounds for token in turn.token_ids)
        counts[text] = counts.get(text, 0) + 1
    assert p_value(counts, exact_law(stage.target, settings, prompt, 3)) > ALARM
