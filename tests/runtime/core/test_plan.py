"""A plan is checked when it is made."""

import pytest

from edgedraft.runtime.base.records import from_plain, to_plain
from edgedraft.runtime.core.plan import WORTH_TRYING, DecodingPlan

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
    "speed_up_low": 1.2,
    "speed_up_high": 1.7,
    "chance_to_pay": 0.9,
    "kernels": {"target": "avx512vnni", "drafter": "stock"},
    "policy": None,
    "conversation_rows": 0,
}


def test_a_plan_reads_back_from_plain_data():
    plan = from_plain(DecodingPlan, VALUES, "plan")
    assert to_plain(plan) == VALUES
    assert plan.target_pass_seconds == (0.05, 0.06)


def test_a_plan_written_before_kernels_were_recorded_names_none():
    plan = from_plain(DecodingPlan, {name: value for name, value in VALUES.items() if name != "kernels"}, "plan")
    assert (plan.kernels.target, plan.kernels.drafter) == ("", "")
    assert str(plan.kernels) == "kernels that were not recorded"


@pytest.mark.parametrize(("key", "most"), [("draft_vocab_size", 2**31 - 1), ("draft_length", 4096), ("threads", 4096)])
def test_counts_start_at_one_and_are_bounded(key, most, raises_exactly):
    for count in (0, most + 1):
        with raises_exactly(f"plan: {key} must lie in 1..{most}, got {count}"):
            DecodingPlan(**VALUES | {key: count})
    assert getattr(DecodingPlan(**VALUES | {key: most}), key) == most


@pytest.mark.parametrize("key", ["predicted_tokens_per_second", "predicted_plain_tokens_per_second"])
@pytest.mark.parametrize("value", [0.0, -0.0, -1.0, float("inf"), float("nan")])
def test_speeds_are_positive_and_finite(key, value, raises_exactly):
    with raises_exactly(f"plan: {key} must be above 0 and finite, got {value}"):
        DecodingPlan(**VALUES | {key: value})


@pytest.mark.parametrize("key", ["target_pass_seconds", "drafter_pass_seconds"])
@pytest.mark.parametrize("bad", [0.0, 1e9, float("nan")])
def test_pass_times_are_positive_and_bounded(key, bad, raises_exactly):
    with raises_exactly(f"plan: {key} must lie above 0 and below 86400 s, got {bad}"):
        DecodingPlan(**VALUES | {key: (0.1, bad)})
    with raises_exactly(f"plan: {key}: expected 1..4096 times, got 0"):
        DecodingPlan(**VALUES | {key: ()})


def test_the_predicted_speed_up_is_a_ratio_of_speeds():
    assert DecodingPlan(**VALUES).predicted_speed_up == 1.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chance_to_pay": 1.1}, "plan: chance_to_pay must lie in 0..1, got 1.1"),
        ({"speed_up_low": 1.8}, "plan: speed_up_low must be above 0 and at most speed_up_high, got (1.8, 1.7)"),
        ({"speed_up_low": 0.0}, "plan: speed_up_low must be above 0 and at most speed_up_high, got (0.0, 1.7)"),
        ({"predicted_acceptance_rate": -0.1}, "plan: predicted_acceptance_rate must lie in 0..1, got -0.1"),
    ],
    ids=str,
)
def test_impossible_figures_are_refused(change, message, raises_exactly):
    with raises_exactly(message):
        DecodingPlan(**VALUES | change)


@pytest.mark.parametrize(
    ("speculate", "chance", "worth"), [(True, 0.0, True), (False, 0.09, False), (False, WORTH_TRYING, True)]
)
def test_a_plan_that_may_pay_is_worth_trying(speculate, chance, worth):
    plan = DecodingPlan(**VALUES | {"speculate": speculate, "chance_to_pay": chance})
    assert plan.worth_trying is worth


@pytest.mark.parametrize(
    ("speculate", "seconds", "cheap"),
    [
        (True, (0.05, 0.07), True),  # nearly every pass verifies drafts, and has two rows anyway
        (False, (0.05, 0.07), False),
        (False, (0.05, 0.0516), False),
        (False, (0.05, 0.0514), True),
        (False, (0.05,), False),
    ],
)
def test_exact_mode_is_the_default_where_it_costs_little(speculate, seconds, cheap):
    plan = DecodingPlan(**VALUES | {"speculate": speculate, "target_pass_seconds": seconds})
    assert plan.exact_is_cheap == cheap


def test_a_plain_step_takes_two_rows_in_exact_mode():
    plan = DecodingPlan(**VALUES | {"target_pass_seconds": (0.05, 0.06, 0.09)})
    assert plan.exact_step_cost == pytest.approx(0.2)
    assert plan.in_exact_mode().target_pass_seconds == (0.06, 0.06, 0.09)
    one = DecodingPlan(**VALUES | {"target_pass_seconds": (0.05,)})
    assert one.in_exact_mode() == one
