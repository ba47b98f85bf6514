"""Method balanced on counts: the scan chooses, and the result says what TPE tried and missed."""

from dataclasses import replace

import numpy as np
import optuna
import pytest

from edgedraft.exporter.methods.balanced import BalancedSettings, balance
from edgedraft.exporter.methods.flops import EagleShape, drafter_cost
from edgedraft.exporter.methods.utility import Utility, UtilitySettings
from edgedraft.exporter.planning.search import SearchSettings
from edgedraft.runtime.base.errors import EdgedraftError

VOCAB = 8000
SHAPE = EagleShape(hidden=256, intermediate=512, heads=8, kv_heads=2, target_vocab_size=VOCAB)


@pytest.fixture(scope="module")
def counts(make_counts):
    weights = 1 / (np.arange(VOCAB) + 2.7)
    return make_counts(np.random.default_rng(1).multinomial(300_000, weights / weights.sum()))


def settings(trials=20, seed=42, **changes) -> BalancedSettings:
    return BalancedSettings(utility=UtilitySettings(**changes), search=SearchSettings(trials=trials, seed=seed))


def test_the_scans_size_is_chosen_and_tpe_compared_with_it(counts):
    found = balance(counts, SHAPE.cost, settings())
    assert found.chosen == Utility(counts.counts, SHAPE.cost, UtilitySettings()).scan()
    assert found.by_tpe == max((trial.weighed for trial in found.trials), key=lambda each: each.utility)
    assert found.missed_by_tpe == found.chosen.utility - found.by_tpe.utility
    assert 0 <= found.missed_by_tpe < 1e-3
    assert found.target_vocab_size == VOCAB


def test_all_trials_lie_in_the_range_and_repeat_with_the_seed(counts):
    one, again, other = (balance(counts, SHAPE.cost, settings(seed=seed, max_size=3000)) for seed in (1, 1, 2))
    assert len(one.trials) == 20
    assert all(50 <= trial.weighed.size <= 3000 for trial in one.trials)
    assert one == again
    assert one.trials != other.trials


def test_trials_are_those_of_optunas_own_loop(make_counts):
    counts = make_counts(1_000_000 // (np.arange(60_000) + 10))
    shape = replace(SHAPE, target_vocab_size=60_000)
    utility = Utility(counts.counts, shape.cost, UtilitySettings())
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=42))
    study.optimize(lambda trial: utility.score(trial.suggest_int("size", 50, 50_000)).utility, n_trials=30)
    found = [trial.weighed.size for trial in balance(counts, shape.cost, settings(trials=30)).trials]
    assert found == [trial.params["size"] for trial in study.trials]
    assert found[:5] == [18758, 47539, 36613, 29953, 7843]


def test_sizes_that_cover_too_little_count_as_bad_ones_as_in_the_reference_tool(counts):
    utility = Utility(counts.counts, SHAPE.cost, UtilitySettings(min_coverage=0.97))

    def objective(trial):
        size = trial.suggest_int("vocab_size", 50, VOCAB)
        return utility.score(size).utility if utility.score(size).coverage >= 0.97 else -1.0

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=42))
    study.optimize(objective, n_trials=20)
    found = balance(counts, SHAPE.cost, settings(min_coverage=0.97))
    assert [trial.weighed.size for trial in found.trials] == [trial.params["vocab_size"] for trial in study.trials]
    assert found.by_tpe.size == study.best_params["vocab_size"]


def test_sizes_that_cover_too_little_are_tried_but_not_chosen(counts):
    found = balance(counts, SHAPE.cost, settings(min_coverage=0.97))
    assert {trial.feasible for trial in found.trials} == {True, False}
    assert all(trial.feasible == (trial.weighed.coverage >= 0.97) for trial in found.trials)
    assert found.by_tpe.coverage >= 0.97
    assert found.chosen.coverage >= 0.97


def test_where_tpe_finds_nothing_the_scan_still_does(counts):
    free = balance(counts, SHAPE.cost, settings())
    found = balance(counts, SHAPE.cost, settings(trials=1, seed=0, min_coverage=1.0))
    assert (found.by_tpe, found.missed_by_tpe) == (None, None)
    assert found.chosen.coverage == 1.0
    assert found.chosen.utility < free.chosen.utility


def test_any_drafter_with_a_linear_cost_can_be_balanced(counts):
    small, large = (
        balance(counts, drafter_cost(parameters, hidden=256), settings()).chosen for parameters in (10**5, 10**8)
    )
    assert small.size < large.size
    assert large.latency_reduction < small.latency_reduction


def test_the_curve_spans_the_range_and_holds_the_choice(counts):
    found = balance(counts, SHAPE.cost, settings(max_size=4000))
    sizes = [each.size for each in found.curve]
    assert (sizes[0], sizes[-1]) == (50, 4000)
    assert sizes == sorted(set(sizes))
    assert found.chosen in found.curve


def test_a_coverage_out_of_reach_is_refused(counts):
    with pytest.raises(EdgedraftError, match=r"^min-coverage: no draft vocabulary of at most 60 tokens covers 99\.00%"):
        balance(counts, SHAPE.cost, settings(min_coverage=0.99, max_size=60))
