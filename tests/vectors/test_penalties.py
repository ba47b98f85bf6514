"""The repetition penalty and the bias on float32 logits: what TypeScript computes too, to the last bit."""

import numpy as np
import pytest

from edgedraft.runtime.core.sampling import SamplingSettings, adjusted


def after(case, bias):
    seen = np.array(case.get("seen", ()), dtype=np.int64)
    penalty = {name: case[name] for name in ("repetition_penalty",) if name in case}
    logits = np.array(case["logits"], dtype=np.float32)
    return adjusted(logits, SamplingSettings(**penalty), seen, {int(token_id): by for token_id, by in bias.items()})


@pytest.mark.section("cases")
def test_logits_after_the_penalty_and_after_the_bias(case):
    for bias, expected in (({}, case["penalised"]), (case["logit_bias"], case["adjusted"])):
        found = after(case, bias)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found.astype(np.float64), np.array(expected))


@pytest.mark.section("cases")
def test_some_token_must_be_left(case, vectors, refused):
    with refused(vectors["shut"]):
        after(case, dict.fromkeys(range(len(case["logits"])), -np.inf))
