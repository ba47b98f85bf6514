"""Packed bundles in a real browser: made for a page's provider or for this machine, they say what Python says."""

import numpy as np
import pytest

from edgedraft.runtime.engine import Engine
from edgedraft.runtime.onnx.session import SessionSettings, open_model
from tests.browser.answers import python_answers, script

pytestmark = pytest.mark.browser

PROMPTS, WAYS, TOKENS = ("def return for in range",), ("none", "trimmed"), 12
WIDE = 0.01
"""Exact products of the same codes differ by some 1e-4 between providers: a hundredth of a logit cannot flip."""


def margins(path, prompt_ids, answer):
    """How far the best logit is ahead of the next at every token of the answer."""
    model = open_model(path, SessionSettings(threads=2, context_length=256))
    logits = model.read([*prompt_ids, *answer[:-1]]).logits[len(prompt_ids) - 1 :]
    assert logits.argmax(axis=1).tolist() == answer
    best = np.sort(logits, axis=1)[:, -2:]
    return best[:, 1] - best[:, 0]


FOR_HERE = ("cpu", "int4-exact")
"""A bundle as it is made for this machine; its products are exact, so that providers agree."""


@pytest.mark.parametrize(
    ("made", "provider", "threads"),
    [(("webgpu",), "webgpu", 1), (("wasm",), "wasm", 2), (FOR_HERE, "webgpu", 1), (FOR_HERE, "wasm", 2)],
    ids=["made for webgpu", "made for wasm", "made for here, on webgpu", "made for here, on wasm"],
)
def test_a_quantized_bundle_says_what_python_says(made, provider, threads, drive, serve, packed_bundle):
    bundle = packed_bundle(*made)
    found = python_answers(Engine.open(bundle, context_length=256), PROMPTS)
    in_python = [(prompt_ids, ids[:TOKENS]) for prompt_ids, (ids, _) in found]
    for prompt_ids, ids in in_python:
        assert margins(bundle / "target" / "model.onnx", prompt_ids, ids).min() > WIDE
    settings = {"targetProvider": provider, "drafterProvider": provider, "threads": threads}
    text = script(settings | {"withFull": False}, {"maxNewTokens": TOKENS}, WAYS, PROMPTS)
    step = {"evaluate": text, "as": "found", "timeout_seconds": 180}
    with serve(bundle) as served:
        driven = drive(served.root, [step])
        driven.require_quiet(served.root)
    answers = driven.results["found"]["answers"]
    for way in WAYS:
        assert [each["ids"] for each in answers[way]] == [ids for _, ids in in_python], way
    assert sum(each["accepted"] for each in answers["trimmed"]) > 0


@pytest.mark.parametrize(("provider", "threads"), [("webgpu", 1), ("wasm", 2)])
def test_the_default_int4_opens_in_a_page_as_it_is(provider, threads, drive, serve, packed_bundle):
    """Its products round activations, in each provider's own way: texts may differ from Python's."""
    settings = {"targetProvider": provider, "drafterProvider": provider, "threads": threads, "withFull": False}
    text = script(settings, {"maxNewTokens": TOKENS}, WAYS, PROMPTS)
    with serve(packed_bundle("cpu")) as served:
        driven = drive(served.root, [{"evaluate": text, "as": "found", "timeout_seconds": 180}])
        driven.require_quiet(served.root)
    found = driven.results["found"]
    assert found["providers"] == {"target": provider, "drafter": provider}
    assert [len(answer["ids"]) for way in WAYS for answer in found["answers"][way]] == [TOKENS, TOKENS]
