"""The laws in a real browser: on every provider the runtime says, token for token, what Python's says at fp32."""

import pytest

from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.engine import DecodingOptions, Engine
from tests.browser.answers import NEW_TOKENS, PROMPTS, WAYS, python_answers, script

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def answers_in_python(tiny_bundle):
    engine = Engine.open(tiny_bundle, context_length=256)
    return [driven for _, driven in python_answers(engine)]


@pytest.mark.parametrize(
    "settings",
    [
        {"targetProvider": "webgpu", "drafterProvider": "webgpu", "threads": 1},
        {"targetProvider": "webgpu", "drafterProvider": "webgpu", "threads": 1, "weak": True},
        {"targetProvider": "wasm", "drafterProvider": "wasm", "threads": 1},
        {"targetProvider": "wasm", "drafterProvider": "wasm", "threads": 2},
        {"targetProvider": "webgpu", "drafterProvider": "wasm", "threads": 2},
    ],
    ids=["webgpu", "weak webgpu", "wasm, 1 thread", "wasm, 2 threads", "webgpu target, wasm drafter"],
)
def test_every_way_of_drafting_says_what_python_says(settings, drive, serve, tiny_bundle, answers_in_python):
    with serve(tiny_bundle) as served:
        driven = drive(served.root, [{"evaluate": script(settings), "as": "found"}])
        driven.require_quiet(served.root)
    found = driven.results["found"]
    assert found["providers"] == {"target": settings["targetProvider"], "drafter": settings["drafterProvider"]}
    for way in WAYS:
        assert [(each["ids"], each["text"]) for each in found["answers"][way]] == answers_in_python, way
    kept = {way: sum(each["accepted"] for each in found["answers"][way]) for way in WAYS}
    assert kept["none"] == 0
    assert kept["trimmed"] > 0
    assert kept["full"] > 0


def test_drawn_answers_repeat_with_their_seed_and_differ_with_another(drive, serve, tiny_bundle):
    settings = {"targetProvider": "wasm", "drafterProvider": "wasm", "threads": 1}
    steps = [
        {"evaluate": script(settings, {"sampling": {"temperature": 1.0}, "seed": seed}, ["trimmed"]), "as": name}
        for name, seed in (("one", 1), ("again", 1), ("other", 2))
    ]
    with serve(tiny_bundle) as served:
        driven = drive(served.root, steps)
        driven.require_quiet(served.root)
    one, again, other = (driven.results[name]["answers"]["trimmed"] for name in ("one", "again", "other"))
    assert one == again
    assert one != other


def test_biased_choices_and_log_probabilities_are_pythons(drive, serve, tiny_bundle, answers_in_python):
    banned = answers_in_python[0][0][0]
    engine = Engine.open(tiny_bundle, context_length=256)
    prompt_ids = engine.codec.encode_chat([{"role": "user", "content": PROMPTS[0]}])
    cold = SamplingSettings(temperature=0, logit_bias={banned: -100.0})
    options = DecodingOptions(speculate=False, sampling=cold, log_probs=True)
    rounds = list(engine.rounds(prompt_ids, engine.limits(NEW_TOKENS), options))
    ids, log_probs = (
        [each for round_ in rounds for each in getattr(round_, name)] for name in ("token_ids", "log_probs")
    )
    assert ids[0] != banned
    settings = {"targetProvider": "wasm", "drafterProvider": "wasm", "threads": 1, "withFull": False}
    asked = {"sampling": {"temperature": 0, "logitBias": {banned: -100}}, "logProbs": True}
    step = {"evaluate": script(settings, asked, ["none", "trimmed"], PROMPTS[:1]), "as": "found"}
    with serve(tiny_bundle) as served:
        driven = drive(served.root, [step])
        driven.require_quiet(served.root)
    for way in ("none", "trimmed"):
        (found,) = driven.results["found"]["answers"][way]
        assert found["ids"] == ids, way
        assert found["logProbs"] == pytest.approx(log_probs, abs=1e-3), way
