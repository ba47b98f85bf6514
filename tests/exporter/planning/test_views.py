"""The law of a plan's views: they show what was scored, thinned, with the true front; a round's parts add up."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedraft.exporter.planning.planner import decide
from edgedraft.exporter.planning.scan import tiled_sizes
from edgedraft.exporter.planning.scoring import PlanLimits, Setup, predicted_seconds, score_options
from edgedraft.exporter.planning.views import (
    cell_edges,
    clouds,
    explain,
    pareto_options,
    runs,
    speed_map,
    thinned,
    window,
)

ANSWERS = [[64, 64, 128, 0, 64, 256, 64, 64]] * 3
UNEVEN = [[64, 64, 128, 64, 64, 0], [64, 0, 256]]
COVERED = np.array([0.5, 0.8, 0.9])
PRECISIONS = ("int4", "int8", "fp32")


@pytest.fixture(scope="module")
def candidates(make_candidate, linear):
    """Three setups, the drafter of each slower than the one before."""
    return [
        make_candidate(
            target=linear(20, 0.1),
            drafter=linear(2 + 3 * number, 0.1),
            memory=(3 - number) * 10**9,
            setup=Setup(target_precision="int4", drafter_precision=precision, threads=2),
        )
        for number, precision in enumerate(PRECISIONS)
    ]


@pytest.fixture(scope="module")
def answers(replayed_answers):
    return replayed_answers(ANSWERS, COVERED)


@pytest.fixture(scope="module")
def scored(candidates, answers):
    return score_options(candidates, answers, PlanLimits())


@pytest.fixture
def decided(candidates, answers):
    def make(**limits):
        return decide(candidates, answers, PlanLimits(**limits), "a laptop", np.random.default_rng(0))

    return make


@given(seed=st.integers(0, 2**32 - 1), memories=st.integers(1, 5), speeds=st.integers(1, 6))
def test_the_front_holds_each_option_that_no_other_beats_once(scored, seed, memories, speeds):
    rng = np.random.default_rng(seed)
    scored = dataclasses.replace(
        scored,
        memory_bytes=rng.integers(1, memories + 1, scored.memory_bytes.shape),
        predicted=rng.integers(1, speeds + 1, scored.predicted.shape).astype(np.float64),
        allowed=rng.random(scored.allowed.shape) < 0.8,
    )
    places = [place for place in np.ndindex(scored.predicted.shape) if scored.allowed[place[:2]]]
    worth = [(int(scored.memory_bytes[place[:2]]), float(scored.predicted[place])) for place in places]
    best = {
        (memory, speed)
        for memory, speed in worth
        if not any(m <= memory and s >= speed and (m, s) != (memory, speed) for m, s in worth)
    }
    firsts = [scored.option(*places[worth.index(each)]) for each in sorted(best)]
    assert list(pareto_options(scored)) == firsts


def test_the_fastest_option_ends_the_front_and_the_leanest_begins_it(scored):
    front = pareto_options(scored)
    assert front[-1] == next(scored.ranked())
    assert front[0].memory_bytes == scored.memory_bytes.min()


@given(
    gaps=st.lists(st.integers(1, 5000), min_size=1, max_size=60),
    picks=st.lists(st.integers(0, 59), max_size=3),
)
def test_thinned_sizes_keep_the_ends_the_marked_ones_and_no_wide_gap(gaps, picks):
    sizes = np.cumsum(gaps)
    kept = [int(sizes[pick % len(sizes)]) for pick in picks]
    places = thinned(sizes, kept)
    assert places.tolist() == sorted(set(places.tolist()))
    assert {int(sizes[0]), int(sizes[-1]), *kept} <= set(sizes[places].tolist())
    for one, next_one in itertools.pairwise(places.tolist()):
        assert next_one == one + 1 or sizes[next_one] <= sizes[one] * 2**0.125


def test_thinned_sizes_are_few_enough_to_draw():
    sizes = tiled_sizes(151936)
    assert len(sizes) == 2374
    assert len(thinned(sizes, (40320, 59968))) < 100


@given(st.lists(st.integers(1, 9000), min_size=1, max_size=30, unique=True))
def test_each_size_lies_in_its_own_cell(sizes):
    sizes = np.array(sorted(sizes))
    edges = cell_edges(sizes)
    assert len(edges) == len(sizes) + 1
    assert (edges[:-1] < sizes).all()
    assert (sizes < edges[1:]).all()


@given(st.lists(st.booleans(), max_size=20))
def test_runs_are_those_of_a_walk_by_hand(flags):
    expected, place = [], 0
    for value, group in itertools.groupby(flags):
        length = len(list(group))
        expected += [(place, place + length)] if value else []
        place += length
    assert runs(np.array(flags, dtype=np.bool_)) == expected


def test_the_speed_map_is_of_the_chosen_setup_with_the_plan_on_it(decided):
    decision = decided()
    shown, best = speed_map(decision), decision.best
    assert best.setup.drafter_precision == "int4"
    row = shown.sizes.tolist().index(best.draft_vocab_size)
    column = shown.draft_lengths.tolist().index(best.draft_length)
    assert shown.tokens_per_second[row, column] == best.tokens_per_second == shown.tokens_per_second.max()
    assert decision.runner_up.draft_vocab_size in shown.sizes
    assert not shown.within_limits.mask.any()


def test_the_speed_map_masks_what_the_limits_forbid(decided):
    shown = speed_map(decided(min_coverage=0.8))
    assert shown.sizes.tolist() == [64, 128, 256]
    assert shown.allowed.tolist() == [False, True, True]
    assert shown.within_limits.mask.tolist() == [[True] * 4, [False] * 4, [False] * 4]


def test_clouds_name_the_fastest_setups_and_put_the_others_together(scored):
    found = clouds(scored, named=1)
    assert [cloud.label for cloud in found] == ["target int4, drafter int4, 2 threads", "2 other setups"]
    assert [len(cloud.tokens_per_second) for cloud in found] == [12, 24]
    assert sorted(np.concatenate([cloud.tokens_per_second for cloud in found])) == sorted(scored.predicted.ravel())
    assert [cloud.label for cloud in clouds(scored, named=2)][2:] == ["1 other setup"]
    assert len(clouds(scored, named=3)) == 3


def test_a_cloud_pairs_each_speed_with_its_own_memory_and_limit(candidates, answers):
    scored = score_options(candidates, answers, PlanLimits(min_coverage=0.8))
    second = clouds(scored, named=3)[1]
    expected = [
        (int(scored.memory_bytes[1, size]), scored.predicted[1, size, length], bool(scored.allowed[1, size]))
        for size in range(3)
        for length in range(4)
    ]
    columns = (second.memory_bytes.tolist(), second.tokens_per_second.tolist(), second.allowed.tolist())
    assert list(zip(*columns, strict=True)) == expected


@pytest.mark.parametrize("count", [1, 2, 9])
def test_a_window_has_its_options_well_inside(scored, count):
    options = list(itertools.islice(scored.ranked(), count))
    left, right, low, high = window(options)
    assert all(left < option.memory_bytes < right and low < option.tokens_per_second < high for option in options)


@given(size=st.sampled_from([64, 128, 256]), length=st.integers(1, 4), slope=st.floats(0, 1), ms=st.floats(1, 50))
def test_the_terms_add_up(make_candidate, replayed_answers, linear, size, length, slope, ms):
    candidate = make_candidate(target=linear(ms, slope), drafter=linear(2, slope))
    outcome = replayed_answers(UNEVEN).replay(size, length)
    terms = explain(candidate.latency, outcome, size, length)
    seconds = predicted_seconds(outcome, size, length, candidate.latency).sum()
    assert sum(term.milliseconds for term in terms) == pytest.approx(1e3 * seconds / outcome.rounds.sum())
    assert sum(term.share for term in terms) == pytest.approx(1.0)
    assert all(term.milliseconds >= -1e-9 for term in terms)


def test_each_term_by_hand(make_candidate, replayed_answers, linear):
    candidate = make_candidate(target=linear(20, 0.5), drafter=linear(2, 0.25))
    terms = explain(candidate.latency, replayed_answers([[64, 64, 64, 0]]).replay(64, 2), 64, 2)
    # Two rounds: both drafts kept, then none; a pass of the drafter takes 2 ms and 64 µs of head.
    assert [(term.what, round(term.milliseconds, 6)) for term in terms] == [
        ("drafter's layers, 2 times", 0.0),
        ("drafter's head of 64 rows", 0.128),
        ("drafter's overhead", 4.0),
        ("drafter's second row, after 50% of rounds", 0.258),
        ("target's weights, one row", 0.0),
        ("target's overhead", 20.0),
        ("target's 2 more rows", 20.0),
    ]
