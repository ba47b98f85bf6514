"""The golden tests notice what they must, and pass over what differs between runs."""

import json

from tests.golden.comparing import difference
from tests.golden.normalising import LONGEST_LIST, normalised
from tests.golden.option_inventory import lost, option_inventory

PLAN = {"plan": {"draft_length": 3, "drafter_pass_seconds": [0.001, 0.002], "device": "a laptop", "speculate": True}}


def test_measured_numbers_keep_their_keys_their_number_and_their_types():
    shown = normalised(PLAN, {}, measured=True)
    assert shown == {
        "plan": {
            "draft_length": 3,
            "drafter_pass_seconds": ["<number>", "<number>"],
            "device": "<text>",
            "speculate": "<true or false>",
        }
    }
    assert normalised(PLAN, {}) == PLAN


def test_a_changed_key_count_or_digit_is_noticed():
    before = normalised(PLAN, {}, measured=True)
    for changed in ({"draft_lengths": 3}, {"draft_length": 4}, {"drafter_pass_seconds": [0.001]}, {"device": None}):
        now = {"plan": {**PLAN["plan"], **changed}}
        assert difference(before, normalised(now, {}, measured=True)) != ""
    values = list(range(LONGEST_LIST + 1))
    assert difference(normalised(values, {}), normalised([*values[:-1], 99], {})) != ""
    assert difference(normalised([0.123456], {}), normalised([0.123466], {})) != ""


def test_paths_and_the_last_digits_of_a_sum_are_passed_over():
    one, other = (
        normalised({"output": f"/tmp/{n}/b", "tau": tau}, {f"/tmp/{n}": "<work>"})
        for n, tau in ((1, 1 / 3), (2, 1 / 3 + 1e-12))
    )
    assert difference(one, other) == ""


def test_an_option_may_be_added_but_not_lost():
    found = option_inventory()
    assert {"plan", "calibrate merge", "vocab inspect"} <= set(found)
    for string, change in (
        ("--draft-length", None),
        ("--method", {"choices": ["mbsu"]}),
        ("--threads", {"default": 1}),
    ):
        before = json.loads(json.dumps(found))
        options = found["plan"]["options"]
        now = {
            **found,
            "plan": {**found["plan"], "options": {**options, string: {**options[string], **(change or {})}}},
        }
        if change is None:
            del now["plan"]["options"][string]
        assert lost(before, now) != []
        assert lost(before, found) == []
    more = {**found["plan"]["options"], "--new": {"takes": "Store"}}
    assert lost(found, {**found, "plan": {**found["plan"], "options": more}}) == []
