"""Drafters side by side: what a layer that reads states costs by the round, and which drafter is taken."""

from types import SimpleNamespace

import numpy as np
import pytest

from edgedraft.calibration.answers.sampling import SampledAnswer
from edgedraft.exporter.planning.drafters import INDEPENDENT, LOOKUP, NONE, compare_drafters, fastest
from edgedraft.exporter.planning.planner import Planned, decide
from edgedraft.exporter.planning.scoring import (
    Candidate,
    PairLatency,
    PlanLimits,
    ReadingCost,
    Setup,
    predicted_seconds,
    predicted_speeds,
)
from edgedraft.exporter.planning.views import explain

ANSWERS = [[64, 64, 128, 64, 64, 0, 64, 64, 64]] * 8
SETUP = Setup(target_precision="int4", drafter_precision="int4", threads=2)
REPEATING = [SampledAnswer(prompt_id="", prompt_ids=(1, 2, 3, 4, 5) * 3, token_ids=(1, 2, 3, 4, 5) * 4)]
TELLING = [SampledAnswer(prompt_id="", prompt_ids=(1, 2), token_ids=tuple(range(3, 40)))]


@pytest.fixture
def latency(linear):
    """Pass times: the target's row in ms, the drafter's, and what reading the target's states costs."""

    def make(target: float, drafter: float, reading: ReadingCost | None = None) -> PairLatency:
        return PairLatency(
            target=linear(target, 0.1),
            drafter=linear(drafter, 0.1),
            target_bytes=0,
            drafter_bytes=lambda size: 1000 * size,
            reading=reading,
        )

    return make


@pytest.fixture
def planned(latency, replayed_answers):
    def make(name: str, *, kind: str = "", answers=ANSWERS, **times) -> Planned:
        candidate = Candidate(setup=SETUP, latency=latency(**times), memory_bytes=lambda size: 10**9)
        decision = decide([candidate], replayed_answers(answers), PlanLimits(), "a laptop", np.random.default_rng(0))
        layout = {"layout": SimpleNamespace(kind=kind)} if kind else {}
        drafter = SimpleNamespace(source=SimpleNamespace(name=name), **layout)
        return Planned(decision=decision, pair=SimpleNamespace(drafter=drafter), ranked_by=("target",))

    return make


def test_a_round_is_one_first_pass_and_further_ones(latency, replayed_answers):
    """By hand: per round 20·v + (2 + 1.5) + (γ − 1)·2, and 0.25 for each draft accepted."""
    answers = replayed_answers(ANSWERS)
    times = latency(20, 2 - 1e-3 * 0.064, ReadingCost(seconds=1.5e-3, row_seconds=0.25e-3))
    speeds = predicted_speeds(answers.scan, times)
    for row, size in enumerate(answers.scan.sizes.tolist()):
        for column, length in enumerate(answers.scan.draft_lengths.tolist()):
            outcome = answers.replay(size, length)
            one = 2e-3 - 0.064e-6 + size * 1e-6
            round_ = 20e-3 * (1 + 0.1 * length) + one + 1.5e-3 + (length - 1) * one
            seconds = outcome.rounds * round_ + outcome.accepted * 0.25e-3
            np.testing.assert_allclose(predicted_seconds(outcome, size, length, times), seconds, rtol=1e-4)
            assert speeds[row, column] == pytest.approx(outcome.tokens.sum() / seconds.sum(), rel=1e-4)


@pytest.mark.parametrize("reading", [None, ReadingCost(seconds=1e-3, row_seconds=2e-4)])
def test_the_terms_of_a_round_add_up_to_its_predicted_time(latency, replayed_answers, reading):
    answers, times = replayed_answers(ANSWERS), latency(20, 2, reading)
    outcome = answers.replay(128, 3)
    terms = explain(times, outcome, 128, 3)
    mean = predicted_seconds(outcome, 128, 3, times).sum() / outcome.rounds.sum()
    assert sum(term.milliseconds for term in terms) == pytest.approx(1e3 * mean)
    named = "reading of the target's states" in " ".join(term.what for term in terms)
    assert named == (reading is not None)


def test_passes_of_several_rows_are_those_that_read_states(latency):
    times = latency(20, 2, ReadingCost(seconds=1e-3, row_seconds=2e-4))
    one = times.drafter_seconds(64, 1)
    assert times.drafter_seconds(64, 3) == pytest.approx(one + 1e-3 + 2 * 2e-4)
    assert times.draft_costs(64).first == pytest.approx(one + 1e-3)


def test_the_fastest_drafter_is_taken_and_the_others_stand_beside_it(planned):
    layer = planned("layer", kind="eagle3", target=20, drafter=0.5, reading=ReadingCost(seconds=1e-4, row_seconds=1e-4))
    model = planned("model", target=20, drafter=8)
    assert fastest([model, layer]) is layer
    comparison = compare_drafters([model, layer], layer, TELLING)
    assert [(each.drafter, each.kind) for each in comparison.options if each.taken] == [("layer", "eagle3")]
    kinds = {each.drafter: each.kind for each in comparison.options}
    assert kinds == {"layer": "eagle3", "model": INDEPENDENT, LOOKUP: LOOKUP, NONE: NONE}
    speeds = [each.tokens_per_second for each in comparison.options]
    assert speeds == sorted(speeds, reverse=True)
    by_name = {each.drafter: each for each in comparison.options}
    assert by_name[NONE].tokens_per_second == pytest.approx(50.0)
    assert by_name["layer"].speed_up == pytest.approx(by_name["layer"].tokens_per_second / 50)
    assert by_name["layer"].first_seconds == pytest.approx(by_name["layer"].next_seconds + 1e-4)
    assert comparison.reason.startswith(
        f"drafter: layer, {by_name['layer'].tokens_per_second:.1f} tokens/s by the plan"
    )


def test_no_drafter_is_taken_where_none_pays(planned):
    slow, slower = planned("slow", target=20, drafter=19), planned("slower", target=20, drafter=40)
    taken = fastest([slower, slow])
    assert taken is slow and not taken.plan.speculate
    comparison = compare_drafters([slower, slow], taken, TELLING)
    assert [each.drafter for each in comparison.options if each.taken] == [NONE]
    assert comparison.reason.startswith("drafter: none, 50.0 tokens/s by the plan; the others: ")


def test_lookup_that_leads_is_named_with_the_way_to_run_it(planned):
    model = planned("model", target=20, drafter=8)
    comparison = compare_drafters([model], model, REPEATING)
    assert comparison.options[0].drafter == LOOKUP
    assert comparison.options[0].block_efficiency > 3
    assert comparison.reason.endswith(
        "lookup is the fastest here and needs no plan: run the bundle with --policy ngram"
    )


def test_without_answers_lookup_is_left_out(planned):
    model = planned("model", target=20, drafter=2)
    names = [each.drafter for each in compare_drafters([model], model, ()).options]
    assert names == ["model", NONE]
