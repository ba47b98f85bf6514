"""A target with recurrent states reads accepted drafts again: plans count what the runtime then pays, row by row."""

import dataclasses

import numpy as np
import pytest

from edgedraft.exporter.planning.planner import WORTHWHILE_SPEED_UP, decide
from edgedraft.exporter.planning.scoring import PlanLimits, score_options
from edgedraft.exporter.planning.views import explain

TARGET_MS, SLOPE, DRAFTER_MS = 20, 0.32, 0.2
LENGTHS = (1, 2, 3, 4, 6)
KEPT = np.random.default_rng(5).random((12, 120)) < 0.6
ANSWERS = [[64 if kept else 0 for kept in row] for row in KEPT.tolist()]
EVERYTHING = PlanLimits()


@pytest.fixture
def candidates(make_candidate, linear):
    """The same passes, of a target without recurrent states and of one with them."""
    plain = make_candidate(target=linear(TARGET_MS, SLOPE), drafter=linear(DRAFTER_MS, 0.0))
    latency = dataclasses.replace(plain.latency, target_rereads=True)
    return plain, dataclasses.replace(plain, latency=latency)


def walked_speed(latency, draft_length: int) -> float:
    """Tokens per second of rounds walked one by one, each pass with the rows that the runtime gives it."""
    seconds, tokens = 0.0, KEPT.size
    for answer in KEPT:
        place = again = 0
        while place < len(answer):
            seconds += latency.target.seconds(0, again + draft_length + 1)
            seconds += draft_length * latency.drafter_seconds(64, 1)
            drafts = answer[place : place + draft_length]
            kept = int(np.argmin([*drafts, False]))
            again = kept if latency.target_rereads and kept < draft_length else 0
            place += kept + 1
    return tokens / seconds


@pytest.mark.parametrize("length", LENGTHS)
def test_predicted_speeds_are_those_of_rounds_walked_one_by_one(length, candidates, replayed_answers):
    scored = score_options(candidates, replayed_answers(ANSWERS, sizes=(64,), lengths=LENGTHS), EVERYTHING)
    plain, rereading = (scored.option(place, 0, LENGTHS.index(length)) for place in (0, 1))
    walked = [walked_speed(each.latency, length) for each in candidates]
    assert plain.tokens_per_second == pytest.approx(walked[0], rel=0.01)
    assert rereading.tokens_per_second == pytest.approx(walked[1], rel=0.01)
    assert plain.rereading_seconds == 0.0
    assert (rereading.rereading_seconds > 0) == (length > 1)
    assert length == 1 or walked[1] < 0.97 * walked[0]


def test_the_verdict_turns_where_rereading_eats_the_gain(candidates, replayed_answers):
    """At the draft lengths given, drafting pays for the target without states only."""
    answers = replayed_answers(ANSWERS, sizes=(64,), lengths=(3,))
    alone = 1e3 / TARGET_MS
    plain, rereading = (
        decide([each], answers, EVERYTHING, "a laptop", np.random.default_rng(0)) for each in candidates
    )
    pays = [walked_speed(each.latency, 3) / alone >= WORTHWHILE_SPEED_UP for each in candidates]
    assert pays == [plain.plan.speculate, rereading.plan.speculate] == [True, False]
    assert "reading accepted drafts again" not in plain.plan.reason
    milliseconds = 1e3 * rereading.best.rereading_seconds
    assert f", {milliseconds:.1f} ms of reading accepted drafts again and yields" in rereading.plan.reason


def test_a_shorter_draft_is_planned_where_accepted_drafts_are_read_again(candidates, replayed_answers):
    answers = replayed_answers(ANSWERS, sizes=(64,), lengths=LENGTHS)
    plain, rereading = (
        decide([each], answers, EVERYTHING, "a laptop", np.random.default_rng(0)).best.draft_length
        for each in candidates
    )
    fastest = [max(LENGTHS, key=lambda length: walked_speed(each.latency, length)) for each in candidates]
    assert [plain, rereading] == fastest


def test_the_terms_of_a_round_add_up_to_its_predicted_time(candidates, replayed_answers):
    answers = replayed_answers(ANSWERS, sizes=(64,), lengths=LENGTHS)
    option = score_options(candidates, answers, EVERYTHING).option(1, 0, LENGTHS.index(4))
    terms = explain(candidates[1].latency, answers.replay(64, 4), 64, 4)
    again = next(term for term in terms if "again" in term.what)
    assert again.milliseconds == pytest.approx(1e3 * option.rereading_seconds)
    round_ms = 1e3 * option.block_efficiency / option.tokens_per_second
    assert sum(term.milliseconds for term in terms) == pytest.approx(round_ms)


def test_recurrent_targets_are_priced_without_padding(make_candidate, linear):
    """The runtime does not pad them."""
    stairs = dataclasses.replace(linear(10, 0.0), rows=(1, 2, 3, 4, 17), row_factors=(1.0, 3.0, 3.0, 1.5, 2.0))
    plain = make_candidate(target=stairs, drafter=linear(1, 0.0)).latency
    assert plain.target_seconds(2) == pytest.approx(15e-3)
    assert dataclasses.replace(plain, target_rereads=True).target_seconds(2) == pytest.approx(30e-3)
