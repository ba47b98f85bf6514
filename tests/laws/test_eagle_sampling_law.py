"""Answers drawn with a drafter that reads the target's states follow the target's exact law; planted faults do not.

Real fp32 graphs throughout: the tapped target, the layer, and its fusing graph. 20,000 answers a case run as a `Crowd`:
the code runs once for all walkers that go the same way, on one target and one source, as in a slot.
"""

from pathlib import Path

import numpy as np
import pytest

from edgedraft.runtime.core import sampling
from edgedraft.runtime.core.adaptive import ExpectedGain
from edgedraft.runtime.core.decoding import sampled, speculative_rounds
from edgedraft.runtime.core.ngram import NgramSource
from edgedraft.runtime.core.pass_times import PairPassTimes
from edgedraft.runtime.core.policies import Confident, FixedLength
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.core.sources import FirstOf
from edgedraft.runtime.core.token_drafter import TokenDrafter
from edgedraft.runtime.onnx.session import OnnxGraph, SessionSettings
from tests.laws.agreeing_eagle import AGREEING, open_pair
from tests.laws.conftest import PassClock
from tests.laws.exact_law import Found, Law, Text, exact_law, p_value

pytestmark = pytest.mark.usefixtures("torch_alone")

WALKERS = 20_000
CASES = {
    "temperature 1": (SamplingSettings(top_k=3), 3),
    "everything": (SamplingSettings(temperature=1.5, top_k=5, top_p=0.95, min_p=0.05, repetition_penalty=1.2), 2),
}
"""Settings, and the places left behind the prompt: so many tokens follow the first, which is never drafted."""
POLICIES = {
    "fixed 1": lambda source, times: (source, FixedLength(1)),
    "fixed 3": lambda source, times: (source, FixedLength(3)),
    "confident": lambda source, times: (source, Confident(3, 0.02)),
    "ngram-or-drafter": lambda source, times: (FirstOf(NgramSource(), source), FixedLength(2)),
    "adaptive": lambda source, times: (source, ExpectedGain(times)),
}
FIXED = "fixed 3"
ALARM = 0.001 / (len(AGREEING) * len(CASES) + len(POLICIES))
CAUGHT = 1e-6
every_kind = pytest.mark.parametrize("name", AGREEING)


class Rows:
    """The target's logits behind a text, each computed once."""

    def __init__(self, model) -> None:
        self._model, self._known = model, dict[Text, np.ndarray]()

    def row(self, context: Text) -> np.ndarray:
        if context not in self._known:
            self._model.rewind(0)
            self._known[context] = self._model.read(list(context)).logits[-1].copy()
        return self._known[context]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("agreeing")


@pytest.fixture(scope="module")
def pairs(folder):
    return {name: open_pair(folder, name, 64) for name in AGREEING}


@pytest.fixture(scope="module")
def rows(pairs) -> Rows:
    """Both drafters have the same target."""
    return Rows(next(iter(pairs.values())).target.new_model())


PROMPT = [5, 9, 700, 5, 9]


@pytest.fixture
def walk(pairs, crowd, make_plan):
    """Runs the loop to the end of the context for all walkers."""
    plan = make_plan(target_pass_seconds=(1e-2,) * 17, drafter_pass_seconds=(1e-7,) * 2)

    def times() -> PairPassTimes:
        known = PairPassTimes.planned(plan)
        for _ in range(10):
            known.target.record(1, 1e-2)
            known.drafter.record(1, 1e-7)
        return known

    def run(name, policy, settings, room) -> Found:
        found, walkers = Found(), crowd(WALKERS, seed=9, exact=True)
        context = SessionSettings(threads=2, context_length=len(PROMPT) + room)
        target = OnnxGraph(pairs[name].checkpoint / "target.onnx", context).new_model()
        source = pairs[name].sources.new_source()
        for _ in walkers.ways():
            clock = PassClock()
            drafter = TokenDrafter(*policy(source, times()), clock)
            timed = clock.timed(target, lambda _: 1e-2)
            rounds = list(speculative_rounds(timed, drafter, PROMPT, sampled(settings, walkers), clock=clock))
            text = tuple(token for round_ in rounds for token in round_.token_ids)
            found.chances[text] = found.chances.get(text, 0.0) + walkers.chance
            if walkers.walkers:
                found.counts[text] = found.counts.get(text, 0) + walkers.walkers
                found.proposed += walkers.walkers * sum(round_.drafted for round_ in rounds)
                found.accepted += walkers.walkers * sum(round_.accepted for round_ in rounds)
        return found

    return run


def check(found: Found, law: Law) -> None:
    assert len(law) >= 8
    assert 0.05 < found.accepted / found.proposed < 0.95, "drafts must be kept only sometimes"
    assert sum(found.counts.values()) == WALKERS
    assert p_value(found.counts, law) > ALARM
    # Pieces, single rows and rows after a rewind differ in the last bits of fp32, and so do the chances.
    assert sum(found.chances.values()) == pytest.approx(1, abs=1e-8)
    for text in law.keys() | found.chances.keys():
        assert found.chances.get(text, 0.0) == pytest.approx(law.get(text, 0.0), abs=2e-5)


@pytest.mark.parametrize("case", CASES)
@every_kind
def test_texts_follow_the_targets_law(name, case, rows, walk):
    settings, room = CASES[case]
    law = exact_law(rows, settings, PROMPT, room + 1)
    check(walk(name, POLICIES[FIXED], settings, room), law)


@pytest.mark.parametrize("policy", [policy for policy in POLICIES if policy != FIXED])
def test_texts_follow_the_targets_law_whatever_the_policy(policy, rows, walk):
    settings, room = CASES["temperature 1"]
    law = exact_law(rows, settings, PROMPT, room + 1)
    check(walk("EAGLE-3", POLICIES[policy], settings, room), law)


FAULTS = {
    "a replacement drawn from all of the target's law": ("residual", lambda by_target, by_drafter: by_target),
    "every draft kept": ("keeps", lambda *_: True),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_acceptance_is_caught(fault, rows, walk, monkeypatch):
    settings, room = CASES["temperature 1"]
    monkeypatch.setattr(sampling, *FAULTS[fault])
    found = walk("EAGLE-2", POLICIES[FIXED], settings, room)
    assert p_value(found.counts, exact_law(rows, settings, PROMPT, room + 1)) < CAUGHT
