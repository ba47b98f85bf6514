"""The law of the search: TPE comes within 0.1 % of the exact maximum, and a stopped search ends as it would have."""

import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from edgedraft.exporter.methods.flops import EagleShape
from edgedraft.exporter.methods.utility import Utility, UtilitySettings
from edgedraft.exporter.planning.search import (
    MAXIMISE,
    MINIMISE,
    Choice,
    SearchSettings,
    Trial,
    Whole,
    pareto_front,
    pareto_search,
    tpe_maximise,
)
from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError

SPACE = {
    "size": Whole(low=64, high=100_000, log=True),
    "length": Whole(low=1, high=8),
    "precision": Choice(values=("int4", "int8", "fp32")),
}


def speed(point) -> float | None:
    """Best at size 5000, length 4, int8; large sizes are not allowed."""
    if point["size"] > 60_000:
        return None
    worth = {"int4": 0.0, "int8": 0.5, "fp32": -0.1}[point["precision"]]
    return worth - abs(np.log(point["size"] / 5000)) - (point["length"] - 4) ** 2 / 10


def speed_and_memory(point) -> tuple[float, float] | None:
    value = speed(point)
    return None if value is None else (value, float(point["size"]))


class Stops:
    """An objective that stops the program at its n-th call."""

    def __init__(self, objective, calls: int, stop: BaseException) -> None:
        self._objective, self._left, self._stop = objective, calls, stop

    def __call__(self, point):
        self._left -= 1
        if self._left == 0:
            raise self._stop
        return self._objective(point)


# --- the law ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def utility():
    """Counts like a language's (rank to the power -1.1) of 20 million tokens, for the paper's drafter."""
    weights = (np.arange(128256) + 2.7) ** -1.1
    counts = np.random.default_rng(5).multinomial(20_000_000, weights / weights.sum())
    shape = EagleShape(hidden=4096, intermediate=14336, heads=32, kv_heads=8, target_vocab_size=128256)
    return Utility(counts, shape.cost, UtilitySettings())


@pytest.mark.parametrize("seed", range(10))
def test_tpe_comes_within_a_thousandth_of_the_scan_in_100_trials(utility, seed):
    space = {"vocab_size": Whole(low=50, high=50_000)}
    best = utility.scan().utility
    found = tpe_maximise(
        lambda point: utility.score(point["vocab_size"]).utility, space, SearchSettings(trials=100, seed=seed)
    )
    assert len(found.trials) == 100
    assert 0.999 * best <= found.best.values[0] <= best


def test_a_stopped_and_resumed_search_ends_as_one_that_ran_through(tmp_path):
    kept = SearchSettings(trials=16, seed=3, storage=tmp_path / "new" / "search.db")
    for call, stop in ((4, ValueError("broken")), (8, KeyboardInterrupt())):
        with pytest.raises(type(stop)):
            tpe_maximise(Stops(speed, call, stop), SPACE, kept)
    assert tpe_maximise(speed, SPACE, kept) == tpe_maximise(speed, SPACE, SearchSettings(trials=16, seed=3))


def test_a_killed_search_is_resumed_too(tmp_path):
    import optuna

    kept = SearchSettings(trials=12, storage=tmp_path / "search.db", study_name="pair")
    tpe_maximise(speed, SPACE, SearchSettings(trials=6, storage=kept.storage, study_name="pair"))
    optuna.load_study(study_name="pair", storage=f"sqlite:///{kept.storage}").ask()  # never told: the process died
    assert tpe_maximise(speed, SPACE, kept) == tpe_maximise(speed, SPACE, SearchSettings(trials=12))


def test_stored_trials_are_not_tried_again(tmp_path):
    kept = SearchSettings(trials=4, storage=tmp_path / "search.db")
    first = tpe_maximise(speed, SPACE, kept)
    assert tpe_maximise(Stops(speed, 1, AssertionError()), SPACE, kept) == first


def test_a_pareto_search_resumes_too(tmp_path):
    goals, path = (MAXIMISE, MINIMISE), tmp_path / "search.db"
    pareto_search(speed_and_memory, SPACE, goals, SearchSettings(trials=11, storage=path))
    resumed = pareto_search(speed_and_memory, SPACE, goals, SearchSettings(trials=13, storage=path))
    assert resumed == pareto_search(speed_and_memory, SPACE, goals, SearchSettings(trials=13))


# --- searching -------------------------------------------------------------------------------------------------------


def test_the_best_of_a_joint_space_is_found():
    found = tpe_maximise(speed, SPACE, SearchSettings(trials=80, seed=1))
    assert found.best.point["precision"] == "int8"
    assert found.best.point["length"] == 4
    assert found.best.values[0] == max(trial.values[0] for trial in found.trials if trial.values)


def test_infeasible_points_are_pruned():
    found = tpe_maximise(speed, SPACE, SearchSettings(trials=40))
    assert {trial.values is None for trial in found.trials} == {True, False}
    assert all((trial.values is None) == (trial.point["size"] > 60_000) for trial in found.trials)


def test_where_nothing_is_feasible_nothing_is_best():
    found = tpe_maximise(lambda point: None, SPACE, SearchSettings(trials=12))
    assert (found.best, len(found.trials)) == (None, 12)


def test_no_point_is_tried_twice():
    asked = []

    def counted(point):
        asked.append(point["length"])
        return float(point["length"])

    found = tpe_maximise(counted, {"length": Whole(low=1, high=3)}, SearchSettings(trials=20))
    assert sorted(asked) == [1, 2, 3]
    assert len(found.trials) == 20
    assert found.best.values == (3.0,)


def test_progress_is_told():
    told = []
    tpe_maximise(speed, SPACE, SearchSettings(trials=3), lambda *facts: told.append(facts))
    assert told == [("trials", 1, 3), ("trials", 2, 3), ("trials", 3, 3)]


def test_a_front_holds_what_no_other_point_beats():
    values = [(1.0, 5.0), (2.0, 7.0), None, (2.0, 6.0), (0.5, 9.0), (3.0, 8.0), (3.0, 8.0)]
    points = [{"k": place} for place in (1, 2, 3, 4, 5, 6, 6)]
    facts = enumerate(zip(points, values, strict=True))
    trials = [Trial(number=number, point=point, values=told) for number, (point, told) in facts]
    assert [trial.number for trial in pareto_front(trials, (MAXIMISE, MINIMISE))] == [5, 3, 0]
    assert [trial.number for trial in pareto_front(trials, (MAXIMISE, MAXIMISE))] == [5, 4]
    assert pareto_front(trials[2:3], (MAXIMISE, MINIMISE)) == ()


def test_a_pareto_search_finds_a_front():
    found = pareto_search(speed_and_memory, SPACE, (MAXIMISE, MINIMISE), SearchSettings(trials=40))
    assert len(found) > 2
    speeds, memories = zip(*(trial.values for trial in found), strict=True)
    assert list(speeds) == sorted(speeds, reverse=True)
    assert list(memories) == sorted(memories, reverse=True)


def test_optuna_says_nothing_and_is_left_as_it_was(capfd):
    import optuna

    optuna.logging.set_verbosity(logging.INFO)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pareto_search(speed_and_memory, SPACE, (MAXIMISE, MINIMISE), SearchSettings(trials=14))
    assert optuna.logging.get_verbosity() == logging.INFO
    assert capfd.readouterr() == ("", "")


def test_warnings_of_the_objective_are_not_swallowed():
    def warns(point):
        warnings.warn("mine", UserWarning, stacklevel=1)
        return 1.0

    with pytest.warns(UserWarning, match="mine"):
        tpe_maximise(warns, SPACE, SearchSettings(trials=1))


# --- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "seed", "what"), [({"size": Whole(low=1, high=2)}, 0, "space"), (SPACE, 7, "seed")], ids=["space", "seed"]
)
def test_a_stored_search_is_not_mixed_with_another(tmp_path, space, seed, what):
    path = tmp_path / "search.db"
    tpe_maximise(speed, SPACE, SearchSettings(trials=2, storage=path))
    with pytest.raises(EdgedraftError) as raised:
        tpe_maximise(speed, space, SearchSettings(trials=2, seed=seed, storage=path))
    remedy = "take another study name or another file"
    assert str(raised.value) == f"{path}: study search was searched with another {what} - {remedy}"


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "search.db"
    path.write_text("these are notes and no database at all " * 40)
    with pytest.raises(EdgedraftError, match=r"search\.db: not a file that searches are kept in, got .* - name a new"):
        tpe_maximise(speed, SPACE, SearchSettings(trials=2, storage=path))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (
            lambda: pareto_search(speed_and_memory, SPACE, (MAXIMISE,), SearchSettings(trials=1)),
            "search: expected 1 values of a point, got 2",
        ),
        (
            lambda: tpe_maximise(lambda _: float("nan"), {"k": Whole(low=2, high=2)}, SearchSettings(trials=1)),
            "search: expected finite values at {'k': 2}, got [nan]",
        ),
        (
            lambda: SearchSettings(trials=1, one_sampler=True, storage=Path("kept.db")),
            "search: one sampler for all trials cannot be resumed from a storage, got kept.db",
        ),
    ],
)
def test_impossible_searches_are_refused(make, error):
    with pytest.raises(EdgedraftError) as raised:
        make()
    assert str(raised.value) == error


def test_searching_needs_the_export_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r'^optuna is not installed - pip install "edgedraft\[export\]"$'):
        tpe_maximise(speed, SPACE, SearchSettings(trials=1))
