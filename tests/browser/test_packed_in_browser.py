"""int4 in a real browser: on the provider that a bundle was made for, it says what Python says of the same bundle."""

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


@pytest.mark.parametrize(("provider", "threads"), [("webgpu", 1), ("wasm", 2)])
def test_a_quantized_bundle_says_what_python_says(provider, threads, drive, serve, packed_bundle):
    bundle = packed_bundle(provider)
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
