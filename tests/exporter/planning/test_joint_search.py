"""The law of the joint search: it finds no more than the scan, nearly as much, and never breaks a limit."""

import dataclasses
import itertools

import numpy as np
import pytest

from edgedraft.exporter.planning.joint_search import predict, search_jointly
from edgedraft.exporter.planning.scan import tiled_sizes
from edgedraft.exporter.planning.scoring import PlanLimits, Setup, score_options
from edgedraft.exporter.planning.search import SearchSettings

VOCAB, LENGTHS = 64 * 40, tuple(range(1, 9))
INT8 = Setup(target_precision="int8", drafter_precision="int4", threads=2)
SETTINGS = SearchSettings(trials=100, seed=0)


@pytest.fixture(scope="module")
def scored(make_candidate, replayed_answers, linear):
    """Two setups over answers whose tokens become draftable at sizes all over the vocabulary."""
    rng = np.random.default_rng(4)
    rows = [(64 * rng.integers(0, 36, 60)).tolist() for _ in range(6)]
    candidates = (
        make_candidate(target=linear(20, 0.2), drafter=linear(1, 0.1)),
        make_candidate(target=linear(22, 0.05), drafter=linear(1, 0.1), setup=INT8, memory=2 * 10**9),
    )
    made = replayed_answers(rows, sizes=tiled_sizes(VOCAB), lengths=LENGTHS)
    answers = dataclasses.replace(made, coverage=np.linspace(0.4, 1.0, VOCAB))
    return lambda limits: score_options(candidates, answers, limits)


def search(scored, settings):
    return search_jointly(scored, settings, draft_lengths=LENGTHS)


def test_a_point_predicts_what_the_scan_does(scored):
    made = scored(PlanLimits())
    for candidate, tiles, length in itertools.product((0, 1), (1, 17, 40), (1, 8)):
        found = predict(made, {"candidate": candidate, "tiles": tiles, "draft_length": length})
        option = made.option(candidate, tiles - 1, length - 1)
        assert found.tokens_per_second == pytest.approx(option.tokens_per_second)
        assert (found.draft_vocab_size, found.memory_bytes) == (option.draft_vocab_size, option.memory_bytes)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_search_comes_within_two_percent_of_the_scan(scored, seed):
    made = scored(PlanLimits())
    found = search(made, SearchSettings(trials=100, seed=seed))
    best = next(made.ranked()).tokens_per_second
    assert found.trials == 100
    assert 0.98 * best <= found.best.tokens_per_second <= best * (1 + 1e-12)


def test_limits_are_kept(scored):
    made = scored(PlanLimits(memory_bytes=15 * 10**8, min_coverage=0.8))
    found = search(made, SETTINGS)
    for each in (found.best, *found.front):
        assert each.memory_bytes <= 15 * 10**8
        assert made.answers.coverage[each.draft_vocab_size - 1] >= 0.8


def test_the_front_trades_speed_for_memory(scored):
    front = search(scored(PlanLimits()), SETTINGS).front
    assert len(front) >= 2
    for faster, leaner in itertools.pairwise(front):
        assert faster.tokens_per_second > leaner.tokens_per_second
        assert faster.memory_bytes > leaner.memory_bytes


def test_where_no_point_keeps_to_the_limits_nothing_is_found(scored):
    found = search(
        dataclasses.replace(scored(PlanLimits()), limits=PlanLimits(memory_bytes=1)), SearchSettings(trials=5)
    )
    assert (found.best, found.front) == (None, ())


def test_a_stored_search_goes_on_and_another_problem_begins_anew(scored, tmp_path):
    store = tmp_path / "search.db"
    made = scored(PlanLimits())
    search(made, SearchSettings(trials=20, storage=store))
    resumed = search(made, SearchSettings(trials=40, storage=store))
    assert resumed == search(made, SearchSettings(trials=40))
    other = scored(PlanLimits(min_coverage=0.9))
    assert search(other, SearchSettings(trials=20, storage=store)).trials == 20
