"""What decoding achieved, as numbers: what TypeScript counts too."""

import pytest

from edgedraft.runtime.core.rounds import Round
from edgedraft.runtime.core.statistics import count_rounds, median_interval, memory_bound_speed_up

CLOSE = 1e-12


def rounds_of(case):
    return [
        Round(token_ids=tuple(range(each["tokens"])), drafted=each["drafted"], accepted=each["accepted"])
        for each in case["rounds"]
    ]


def check(rounds, expected):
    found = count_rounds(rounds)
    assert {name: getattr(found, name) for name in expected} == pytest.approx(expected, rel=CLOSE)
    assert len(expected) == 7


@pytest.mark.section("answers")
def test_one_answer(case):
    check(rounds_of(case), case["counts"])


@pytest.mark.section("together")
def test_all_answers_together(case, vectors):
    check([each for answer in vectors["answers"] for each in rounds_of(answer)], case)


@pytest.mark.section("mbsus")
def test_memory_bound_speed_up(case):
    found = memory_bound_speed_up(case["block_efficiency"], case["cost_ratio"], case["draft_length"])
    assert found == pytest.approx(case["mbsu"], rel=CLOSE)


@pytest.mark.section("spreads")
def test_median_and_quartiles(case):
    for count, expected in enumerate(case["beginnings"], start=1):
        found = median_interval(case["values"][:count]).json_form()
        assert {name: found[name] for name in expected} == pytest.approx(expected, rel=CLOSE)
    assert len(case["beginnings"]) == len(case["values"])
