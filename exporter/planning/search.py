"""Search of a space too large to scan, by Optuna's TPE: the one file that knows Optuna.

Every trial gets a sampler of its own, seeded by the search's seed and the number of finished trials before it. So each
trial follows from the trials before it, and a search that was stopped and resumed gives what it would have given
anyway. `SearchSettings.one_sampler` takes Optuna's default sampler for all trials instead, as published tools do.
TPE: Bergstra et al. 2011; for several goals: Ozaki et al. 2020.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

import numpy as np

from edgedraft.exporter.planning.search_storage import require_storage
from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError, first_line, unwritable_is_users
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require

if TYPE_CHECKING:
    import optuna

Goal = Literal["maximize", "minimize"]
MAXIMISE: Goal = "maximize"
MINIMISE: Goal = "minimize"

Value = int | float | str | bool
Values = tuple[float, ...] | None
Point = Mapping[str, Value]


@dataclass(frozen=True, kw_only=True, slots=True)
class Whole:
    """A whole number in ``low``..``high``, both included; with ``log`` its order of magnitude is drawn."""

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One of several values that have no order."""

    values: tuple[Value, ...]


Space = Mapping[str, Whole | Choice]


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSettings:
    """``trials`` in all, those that ``storage`` (an SQLite file) already holds under ``study_name`` included.

    With ``one_sampler`` the trials are those of ``optuna.create_study(sampler=TPESampler(seed=seed)).optimize(...)``,
    in their order; such a search cannot be resumed, so it takes no ``storage``.
    """

    trials: int
    seed: int = 0
    one_sampler: bool = False
    storage: Path | None = None
    study_name: str = "search"

    def __post_init__(self) -> None:
        rule = "search: one sampler for all trials cannot be resumed from a storage"
        require(not (self.one_sampler and self.storage), rule, got=self.storage)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """A point that was tried; ``values``, one a goal, are None where it was infeasible."""

    number: int
    point: Point
    values: Values


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """All trials in order, and the first of the highest value; None where every point was infeasible."""

    best: Trial | None
    trials: tuple[Trial, ...]


def tpe_maximise(
    objective: Callable[[Point], float | None], space: Space, settings: SearchSettings, progress: Progress = silent
) -> SearchResult:
    """Search ``space`` for the point of the highest value; None from ``objective`` prunes a point.

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
    goals: Sequence[Goal],
    settings: SearchSettings,
    progress: Progress = silent,
) -> tuple[Trial, ...]:
    """Search for the points that no other beats in all of ``goals``; see `pareto_front`.

    A goal is `MAXIMISE` or `MINIMISE`, one for each value of ``objective``; None from it prunes a point.
    """

    def several(point: Point) -> Values:
        values = objective(point)
        return None if values is None else tuple(values)

    return pareto_front(_search(several, space, tuple(goals), settings, progress), goals)


def pareto_front(trials: Sequence[Trial], goals: Sequence[Goal]) -> tuple[Trial, ...]:
    """Return the feasible trials that no other one beats, each point once, the best by the first goal first."""
    # Reversed, so that of equal points the first trial stays.
    once = {_key(trial.point): trial for trial in reversed(trials) if trial.values is not None}
    feasible = sorted(once.values(), key=lambda trial: trial.number)
    if not feasible:
        return ()
    signs = np.array([1.0 if goal == MAXIMISE else -1.0 for goal in goals])
    values = np.array([trial.values for trial in feasible]) * signs
    beaten = [bool(((values >= row).all(axis=1) & (values > row).any(axis=1)).any()) for row in values]
    left = [place for place, lost in enumerate(beaten) if not lost]
    return tuple(feasible[place] for place in sorted(left, key=lambda place: -values[place, 0]))


def _key(point: Point) -> tuple[tuple[str, Value], ...]:
    """Return a key that equal points share, whatever the order of their names."""
    return tuple(sorted(point.items()))


def _search(
    objective: Callable[[Point], Values],
    space: Space,
    goals: tuple[Goal, ...],
    settings: SearchSettings,
    progress: Progress,
) -> tuple[Trial, ...]:
    """Ask and tell until the study holds as many finished trials as ``settings`` ask for."""
    _require_optuna()
    with _quiet(), _opened(space, goals, settings) as study:
        trials = list(_finished(study, space))
        known = {_key(trial.point): trial.values for trial in trials}
        if settings.one_sampler:
            study.sampler = _default_sampler(settings.seed)
        for number in range(len(trials), settings.trials):
            if not settings.one_sampler:
                study.sampler = _sampler(settings.seed, number)
            asked = study.ask()
            point = {name: _suggest(asked, name, values) for name, values in space.items()}
            if _key(point) not in known:
                known[_key(point)] = _tried(study, asked, objective, point, goals)
            values = known[_key(point)]
            _tell(study, asked, values, "PRUNED" if values is None else "COMPLETE")
            trials.append(Trial(number=number, point=point, values=values))
            progress("trials", number + 1, settings.trials)
    return tuple(trials[: settings.trials])


def _tried(
    study: "optuna.Study",
    asked: "optuna.Trial",
    objective: Callable[[Point], Values],
    point: Point,
    goals: tuple[Goal, ...],
) -> Values:
    """Return the values of a point; an objective that raises leaves the trial failed, to be done again."""
    try:
        values = objective(point)
        if values is not None:
            require(len(values) == len(goals), f"search: expected {len(goals)} values of a point", got=len(values))
            rule = f"search: expected finite values at {dict(point)}"
            require(bool(np.isfinite(values).all()), rule, got=list(values))
    except BaseException:  # an interrupt from the keyboard too
        _tell(study, asked, None, "FAIL")
        raise
    return values


@contextmanager
def _opened(space: Space, goals: tuple[Goal, ...], settings: SearchSettings) -> "Iterator[optuna.Study]":
    """Open a new study, or the stored one with what a killed process left unfinished marked as failed."""
    import optuna

    storage = _storage(settings.storage)
    try:
        study = optuna.create_study(
            study_name=settings.study_name, storage=storage, directions=list(goals), load_if_exists=True
        )
        _require_same_search(study, space, goals, settings)
        for trial in study.trials:
            if not trial.state.is_finished():
                _tell(study, trial.number, None, "FAIL")
        yield study
    except optuna.exceptions.StorageInternalError as error:
        raise _unwritable(settings.storage, error.__cause__ or error) from error
    finally:
        if storage is not None:
            storage.engine.dispose()


def _require_same_search(
    study: "optuna.Study", space: Space, goals: tuple[Goal, ...], settings: SearchSettings
) -> None:
    """Raise `EdgedraftError` where a stored study searched another space, for other goals or from another seed."""
    described = {name: [type(values).__name__, asdict(values)] for name, values in space.items()}
    # Through JSON, because that is how a stored study gives its facts back: tuples become lists.
    facts = json.loads(json.dumps({"goals": goals, "seed": settings.seed, "space": described}))
    if not study.trials:  # a new study, or one of a process that was killed before it had described the search
        for name in facts.keys() - study.user_attrs.keys():
            study.set_user_attr(name, facts[name])
    for name, fact in facts.items():
        rule = f"{settings.storage}: study {settings.study_name} was searched with another {name}"
        require(study.user_attrs.get(name) == fact, rule, remedy="take another study name or another file")


def _storage(path: Path | None) -> "optuna.storages.RDBStorage | None":
    """Open the SQLite file at ``path``; None keeps trials in memory."""
    import optuna

    if path is None:
        return None
    require_storage(path)
    with unwritable_is_users(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return optuna.storages.RDBStorage(f"sqlite:///{quote(str(path), safe='/:')}")
    except Exception as error:  # one of SQLAlchemy's, which only Optuna knows
        raise _unwritable(path, error) from error


def _unwritable(path: Path | None, error: BaseException) -> EdgedraftError:
    remedy = "free some space, or end what else uses it; trials that were finished are kept"
    return EdgedraftError(f"{path}: cannot be written", got=first_line(error), remedy=remedy)


def _finished(study: "optuna.Study", space: Space) -> Iterator[Trial]:
    """Yield the trials that are done, in their order, without the failed ones."""
    done = [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]
    for number, trial in enumerate(done):
        values = None if trial.state.name == "PRUNED" else tuple(trial.values)
        yield Trial(number=number, point=_point(trial.params, space), values=values)


def _suggest(asked: "optuna.Trial", name: str, values: Whole | Choice) -> Value:
    """Ask for a value; choices are asked for by their place, so that values of all kinds can be stored."""
    if isinstance(values, Whole):
        number: int = asked.suggest_int(name, values.low, values.high, log=values.log)
        return number
    place: int = asked.suggest_categorical(name, range(len(values.values)))
    return values.values[place]


def _point(params: Mapping[str, int], space: Space) -> Point:
    return {
        name: params[name] if isinstance(values, Whole) else values.values[params[name]]
        for name, values in space.items()
    }


def _tell(study: "optuna.Study", trial: "optuna.Trial | int", values: Values, state: str) -> None:
    import optuna

    study.tell(trial, values, state=optuna.trial.TrialState[state])


def _sampler(seed: int, number: int) -> "optuna.samplers.TPESampler":
    """Build the sampler of one trial."""
    import optuna

    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    # Trials run one after another, so none has to keep away from running ones: no constant liar.
    return optuna.samplers.TPESampler(seed=own, multivariate=True, constant_liar=False)


def _default_sampler(seed: int) -> "optuna.samplers.TPESampler":
    import optuna

    return optuna.samplers.TPESampler(seed=seed)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out Optuna's warnings and log lines inside the block."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="optuna")
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _require_optuna() -> None:
    try:
        import optuna  # noqa: F401 - only to see that it is there
    except ImportError as error:
        raise MissingExtraError("optuna", "export") from error
