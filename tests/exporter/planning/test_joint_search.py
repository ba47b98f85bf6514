"""The law of the joint search: it finds no more than the scan, nearly as much, and never breaks a limit."""

import itertools

import numpy as np
import pytest

from edgedraft.exporter.planning.joint_search import SearchSpace, search_jointly
from edgedraft.exporter.planning.options import Limits, Setup
from edgedraft.exporter.planning.scan import tiled_sizes
from edgedraft.exporter.planning.search import SearchSettings
from edgedraft.exporter.planning.weighing import weigh

VOCAB, LENGTHS = 64 * 40, tuple(range(1, 9))
INT8 = Setup(target_precision="int8", drafter_precision="int4", threads=2)
SETTINGS = SearchSettings(trials=100, seed=0)


@pytest.fixture(scope="module")
def space(make_candidate, linear):
    """Two setups over answers whose tokens become draftable at sizes all over the vocabulary."""
    rng = np.random.default_rng(4)
    answers = [(64 * rng.integers(0, 36, 60)).tolist() for _ in range(6)]
    facts = {"sizes": tiled_sizes(VOCAB), "lengths": LENGTHS}
    candidates = (
        make_candidate(answers, target=linear(20, 0.2), drafter=linear(1, 0.1), **facts),
        make_candidate(answers, target=linear(22, 0.05), drafter=linear(1, 0.1), setup=INT8, memory=2 * 10**9, **facts),
    )
    coverage = np.linspace(0.4, 1.0, VOCAB)
    return lambda limits: SearchSpace(candidates=candidates, coverage=coverage, draft_lengths=LENGTHS, limits=limits)


def best_of(space):
    weighed = weigh(space.candidates, space.coverage[tiled_sizes(VOCAB) - 1], space.limits)
    return next(weighed.ranked())


def test_a_point_predicts_what_the_scan_does(space):
    made = space(Limits())
    weighed = weigh(made.candidates, made.coverage[tiled_sizes(VOCAB) - 1], made.limits)
    for candidate, tiles, length in itertools.product((0, 1), (1, 17, 40), (1, 8)):
        found = made.found({"candidate": candidate, "tiles": tiles, "draft_length": length})
        option = weighed.option(candidate, tiles - 1, length - 1)
        assert found.tokens_per_second == pytest.approx(option.tokens_per_second)
        assert (found.draft_vocab_size, found.memory_bytes) == (option.draft_vocab_size, option.memory_bytes)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_search_comes_within_two_percent_of_the_scan(space, seed):
    made = space(Limits())
    found = search_jointly(made, SearchSettings(trials=100, seed=seed))
    best = best_of(made).tokens_per_second
    assert found.trials == 100
    assert 0.98 * best <= found.best.tokens_per_second <= best * (1 + 1e-12)


def test_limits_are_kept(space):
    made = space(Limits(memory_bytes=15 * 10**8, min_coverage=0.8))
    found = search_jointly(made, SETTINGS)
    for each in (found.best, *found.front):
        assert each.memory_bytes <= 15 * 10**8
        assert made.coverage[each.draft_vocab_size - 1] >= 0.8


def test_the_front_trades_speed_for_memory(space):
    front = search_jointly(space(Limits()), SETTINGS).front
    assert len(front) >= 2
    for faster, leaner in itertools.pairwise(front):
        assert faster.tokens_per_second > leaner.tokens_per_second
        assert faster.memory_bytes > leaner.memory_bytes


def test_where_no_point_keeps_to_the_limits_nothing_is_found(space):
    found = search_jointly(space(Limits(memory_bytes=1)), SearchSettings(trials=5))
    assert (found.best, found.front) == (None, ())


def test_a_stored_search_goes_on_and_another_problem_begins_anew(space, tmp_path):
    store = tmp_path / "search.db"
    made = space(Limits())
    search_jointly(made, SearchSettings(trials=20, storage=store))
    resumed = search_jointly(made, SearchSettings(trials=40, storage=store))
    assert resumed == search_jointly(made, SearchSettings(trials=40))
    other = space(Limits(min_coverage=0.9))
    assert search_jointly(other, SearchSettings(trials=20, storage=store)).trials == 20
