"""Passes from timed rounds, and how to draft by them and a forecast: what the page computes too."""

import pytest

from edgedraft.devices.tuning.choosing import WORTHWHILE_SPEED_UP, chosen_way, predicted_ways
from edgedraft.devices.tuning.passes import MeasuredPasses, TimedRound, affordable_lengths, pass_seconds
from edgedraft.runtime.base.records import from_plain
from edgedraft.runtime.core.forecast import AcceptanceForecast, DraftCosts

HAIR = 1e-9
WORDS = {"any": 1.0, "slow": 1e3, "fast": 1e-6}


def close(expected):
    return pytest.approx(expected, rel=1e-9, abs=0)


def known(value, beyond=0):
    """Return ``value`` with numbers in the places of words."""
    if isinstance(value, dict):
        return {key: known(item, beyond) for key, item in value.items()}
    if isinstance(value, list):
        return [known(item, beyond) for item in value]
    return beyond if value == "beyond" else 1 if value == "any" else WORDS.get(value, value)


def timed(drafted, before, drafter_seconds, target_seconds):
    """Return a round; what was accepted before is read only where a drafter reads the target's states."""
    seconds = {"drafter_seconds": drafter_seconds, "target_seconds": target_seconds}
    return TimedRound(
        drafted=drafted, accepted_before=0, after_full=before == "full", after_plain=before == "plain", **known(seconds)
    )


def measured(target, step, after_full=0.0):
    costs = DraftCosts(first=known(step), next=known(step), after_full=known(after_full))
    return MeasuredPasses(target=tuple(known(target)), drafter=costs)


def forecast_of(case):
    beyond = len(case["passes"]["target"])
    return from_plain(AcceptanceForecast, known(case["forecast"], beyond), "forecast")


@pytest.mark.section("passes")
def test_passes_of_timed_rounds(case):
    found = pass_seconds([timed(**each) for each in case["rounds"]], reads_states=False)
    assert list(found.target) == close(case["target"])
    assert (found.drafter.first, found.drafter.next) == close((case["step"], case["step"]))
    assert found.drafter.after_full == close(case["after_full"])


@pytest.mark.section("ways")
def test_ways_and_the_chosen_one(case):
    ways = predicted_ways(forecast_of(case), measured(**case["passes"]))
    assert [(way.policy, way.draft_length) for way in ways] == [tuple(each[:2]) for each in case["ways"]]
    for way, (_, _, *numbers) in zip(ways, case["ways"], strict=True):
        assert [way.tokens_per_second, way.block_efficiency, way.acceptance_rate] == close(numbers)
    best = chosen_way(ways)
    speculate = best.tokens_per_second >= WORTHWHILE_SPEED_UP * ways[0].tokens_per_second
    assert {"policy": best.policy, "draft_length": best.draft_length, "speculate": speculate} == case["chosen"]


@pytest.mark.section("edges")
def test_drafts_are_worth_it_from_three_percent_on(case):
    for hair, worthwhile in ((-HAIR, False), (HAIR, True)):
        plain_seconds = case["worth_from_plain_seconds"] * (1 + hair)
        passes = case["passes"] | {"target": [plain_seconds, *case["passes"]["target"]]}
        best = chosen_way(ways := predicted_ways(forecast_of(case | {"passes": passes}), measured(**passes)))
        speed_up = best.tokens_per_second / ways[0].tokens_per_second
        assert (speed_up >= WORTHWHILE_SPEED_UP) == worthwhile
        chosen = case["chosen"] if worthwhile else {"policy": "fixed", "draft_length": 1}
        assert {"policy": best.policy, "draft_length": best.draft_length} == chosen


@pytest.mark.section("affordable")
def test_a_turn_goes_as_far_as_its_seconds(case):
    passes, before = measured(**case["passes"]), 2
    for each in case["edges"]:
        assert affordable_lengths(passes, each["from_seconds"] * (1 - HAIR))[-1] == before
        assert affordable_lengths(passes, each["from_seconds"] * (1 + HAIR))[-1] == each["longest"]
        before = each["longest"]
    assert affordable_lengths(passes, 0.0) == (0, 0, 1, 1, 2)
