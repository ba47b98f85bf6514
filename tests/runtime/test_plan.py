"""A plan is checked when it is made."""

import pytest

from edgedraft.runtime.plan import DecodingPlan
from edgedraft.runtime.records import from_plain, to_plain

VALUES = {
    "draft_vocab_size": 3,
    "draft_length": 2,
    "target_precision": "int4",
    "drafter_precision": "int4",
    "threads": 4,
    "predicted_tokens_per_second": 30.0,
    "predicted_plain_tokens_per_second": 20.0,
    "predicted_block_efficiency": 2.5,
    "predicted_acceptance_rate": 0.7,
    "target_pass_seconds": [0.05, 0.06],
    "drafter_pass_seconds": [0.01, 0.012],
    "speculate": True,
    "reason": "faster",
    "device": "laptop",
}


def test_a_plan_reads_back_from_plain_data():
    plan = from_plain(DecodingPlan, VALUES, "plan")
    assert to_plain(plan) == VALUES
    assert plan.target_pass_seconds == (0.05, 0.06)


@pytest.mark.parametrize("key", ["draft_vocab_size", "draft_length", "threads"])
def test_counts_start_at_one(key, raises_exactly):
    with raises_exactly(f"plan: {key} must be at least 1, got 0"):
        DecodingPlan(**VALUES | {key: 0})


@pytest.mark.parametrize("key", ["target_pass_seconds", "drafter_pass_seconds"])
@pytest.mark.parametrize("seconds", [(), (0.1, 0.0)])
def test_pass_times_are_positive(key, seconds, raises_exactly):
    with raises_exactly(f"plan: {key} must be above 0, one or more, got {seconds}"):
        DecodingPlan(**VALUES | {key: seconds})


def test_the_predicted_speed_up_is_a_ratio_of_speeds():
    assert DecodingPlan(**VALUES).predicted_speed_up == 1.5
