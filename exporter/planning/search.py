"""Searching a space too large to scan, by Optuna's TPE: the one file that knows Optuna.

Every trial gets a sampler of its own, seeded by the search's seed and the number of finished trials before it. So what
a trial tries follows from the trials before it, and a search that was stopped and resumed gives what it would have
given anyway. TPE: Bergstra et al. 2011; for several goals: Ozaki et al. 2020.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgedraft.exporter.planning.search_space import (
    MAXIMISE,
    MINIMISE,
    Choice,
    Point,
    Space,
    Trial,
    Value,
    Whole,
    key_of,
    pareto_front,
)
from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError, first_line
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require

Values = tuple[float, ...] | None


class Infeasible(Exception):  # noqa: N818 - an outcome that an objective reports, not a fault
    """Raised by an objective for a point that breaks a constraint: the trial is pruned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSettings:
    """``trials`` in all, those that ``storage`` (an SQLite file) already holds under ``study_name`` included."""

    trials: int
    seed: int = 0
    storage: Path | None = None
    study_name: str = "search"

    def __post_init__(self) -> None:
        require(self.trials >= 1, "search: expected at least one trial", got=self.trials)
        require(self.seed >= 0, "search: expected a seed of 0 or more", got=self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """All trials in order, and the first of the highest value; None where every point was infeasible."""

    best: Trial | None
    trials: tuple[Trial, ...]

    @property
    def best_value(self) -> float | None:
        """The highest value found."""
        return None if self.best is None or self.best.values is None else self.best.values[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class ParetoResult:
    """All trials in order, and those that no other one beats: each point once, the best by the first goal first."""

    front: tuple[Trial, ...]
    trials: tuple[Trial, ...]


def tpe_maximise(
    objective: Callable[[Point], float | None], space: Space, settings: SearchSettings, progress: Progress = silent
) -> SearchResult:
    """The point of ``space`` with the highest value; None or `Infeasible` from ``objective`` prunes a point.

    A point that was tried before keeps its value and is not asked for again.
    """

    def single(point: Point) -> Values:
        value = objective(point)
        return None if value is None else (value,)

    trials = _search(single, space, (MAXIMISE,), settings, progress)
    feasible = [trial for trial in trials if trial.values]
    return SearchResult(best=max(feasible, key=lambda trial: trial.values or (), default=None), trials=trials)


def pareto_search(
    objective: Callable[[Point], Sequence[float] | None],
    space: Space,
    goals: Sequence[str],
    settings: SearchSettings,
    progress: Progress = silent,
) -> ParetoResult:
    """The points that no other beats in all of ``goals``, `MAXIMISE` or `MINIMISE` for each value of ``objective``."""
    known = len(goals) > 0 and set(goals) <= {MAXIMISE, MINIMISE}
    require(known, f"search: expected goals {MAXIMISE} or {MINIMISE}", got=list(goals))

    def several(point: Point) -> Values:
        values = objective(point)
        return None if values is None else tuple(values)

    trials = _search(several, space, tuple(goals), settings, progress)
    return ParetoResult(front=pareto_front(trials, goals), trials=trials)


def _search(
    objective: Callable[[Point], Values],
    space: Space,
    goals: tuple[str, ...],
    settings: SearchSettings,
    progress: Progress,
) -> tuple[Trial, ...]:
    """Ask and tell until the study holds as many finished trials as are wanted."""
    require(bool(space), "search: expected a space of at least one parameter", got=0)
    with _quiet(), _opened(space, goals, settings) as study:
        trials = list(_finished(study, space))
        known = {key_of(trial.point): trial.values for trial in trials}
        for number in range(len(trials), settings.trials):
            study.sampler = _sampler(settings.seed, number)
            asked = study.ask()
            point = {name: _suggest(asked, name, values) for name, values in space.items()}
            if key_of(point) not in known:
                known[key_of(point)] = _tried(study, asked, objective, point, goals)
            values = known[key_of(point)]
            _tell(study, asked, values, "PRUNED" if values is None else "COMPLETE")
            trials.append(Trial(number=number, point=point, values=values))
            progress("trials", number + 1, settings.trials)
    return tuple(trials[: settings.trials])


def _tried(
    study: Any, asked: Any, objective: Callable[[Point], Values], point: Point, goals: tuple[str, ...]
) -> Values:
    """The values of a point; whatever else stops the objective leaves the trial failed, to be done again."""
    try:
        values = objective(point)
        if values is not None:
            require(len(values) == len(goals), f"search: expected {len(goals)} values of a point", got=len(values))
            rule = f"search: expected finite values at {dict(point)}"
            require(bool(np.isfinite(values).all()), rule, got=list(values))
    except Infeasible:
        return None
    except BaseException:
        _tell(study, asked, None, "FAIL")
        raise
    return values


@contextmanager
def _opened(space: Space, goals: tuple[str, ...], settings: SearchSettings) -> Iterator[Any]:
    """A new study, or the stored one with what a killed process left unfinished marked as failed."""
    storage = _storage(settings.storage)
    try:
        study = _optuna().create_study(
            study_name=settings.study_name, storage=storage, directions=list(goals), load_if_exists=True
        )
        _require_same_search(study, space, goals, settings)
        for trial in study.trials:
            if not trial.state.is_finished():
                _tell(study, trial.number, None, "FAIL")
        yield study
    finally:
        if storage is not None:
            storage.engine.dispose()


def _require_same_search(study: Any, space: Space, goals: tuple[str, ...], settings: SearchSettings) -> None:
    """A stored study must have searched the same space for the same goals from the same seed."""
    told = {name: [type(values).__name__, asdict(values)] for name, values in space.items()}
    facts = json.loads(json.dumps({"goals": goals, "seed": settings.seed, "space": told}))
    if not study.trials and not study.user_attrs:
        for name, fact in facts.items():
            study.set_user_attr(name, fact)
    for name, fact in facts.items():
        rule = f"{settings.storage}: study {settings.study_name} was searched with another {name}"
        require(study.user_attrs.get(name) == fact, rule, remedy="take another study name or another file")


def _storage(path: Path | None) -> Any:
    """The SQLite file at ``path``; None keeps trials in memory."""
    if path is None:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _optuna().storages.RDBStorage(f"sqlite:///{path}")
    except Exception as error:  # one of SQLAlchemy's, which only Optuna knows
        rule = f"{path}: not a file that searches are kept in"
        raise EdgedraftError(rule, got=first_line(error), remedy="name a new file") from error


def _finished(study: Any, space: Space) -> Iterator[Trial]:
    """The trials that are done, by their order; failed ones are not."""
    done = [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]
    for number, trial in enumerate(done):
        values = None if trial.state.name == "PRUNED" else tuple(trial.values)
        yield Trial(number=number, point=_point(trial.params, space), values=values)


def _suggest(asked: Any, name: str, values: Whole | Choice) -> Value:
    """Choices are asked for by their place, so that values of all kinds can be stored."""
    if isinstance(values, Whole):
        return int(asked.suggest_int(name, values.low, values.high, log=values.log))
    place: int = asked.suggest_categorical(name, range(len(values.values)))
    return values.values[place]


def _point(found: Mapping[str, int], space: Space) -> Point:
    return {
        name: found[name] if isinstance(values, Whole) else values.values[found[name]] for name, values in space.items()
    }


def _tell(study: Any, trial: Any, values: Values, state: str) -> None:
    study.tell(trial, values, state=_optuna().trial.TrialState[state])


def _sampler(seed: int, number: int) -> Any:
    """Of one trial. Trials run one after another, so none has to keep away from running ones."""
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    return _optuna().samplers.TPESampler(seed=own, multivariate=True, constant_liar=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna's warnings and log lines left out, for as long as this lasts."""
    logging = _optuna().logging
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="optuna")
            warnings.simplefilter("ignore", _optuna().exceptions.ExperimentalWarning)
            yield
    finally:
        logging.set_verbosity(before)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("optuna", "export") from error
    return optuna
