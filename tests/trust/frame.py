"""The frame of the trust suite: kinds of trials, their verdicts, and a runner with a budget of time.

A file of `kinds/` names its kinds in ``KINDS``. To add one, write a generator function that prepares a folder, yields
the trial, and cleans up after itself::

    @kind("forks", promise="a forked child is answered rightly or refused", trials=100)
    def forks(folder: Path) -> Iterator[Trial]:
        bundle = make_bundle(folder)

        def trial(number: int, rng: Random) -> Verdict:
            ...
            return Verdict.HELD

        yield trial

A trial is decided by ``number`` and ``rng`` alone, so that it can be repeated.
"""

import contextlib
import importlib
import pkgutil
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from random import Random
from types import FrameType
from typing import NoReturn

from edgedraft.runtime.base.errors import EdgedraftError


class Verdict(StrEnum):
    """The result of one trial. Lost files, wrong answers and accepted damage are all ``WRONG``."""

    HELD = "held"
    REFUSED = "refused"
    WRONG = "wrong"
    CRASHED = "crashed"
    HUNG = "hung"


GOOD = (Verdict.HELD, Verdict.REFUSED)

Trial = Callable[[int, Random], Verdict]
"""Runs trial ``number`` with its own random numbers.

A trial may raise instead: `EdgedraftError` counts as refused, an AssertionError as wrong, any other error as crashed.
"""

Preparation = Callable[[Path], contextlib.AbstractContextManager[Trial]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One kind of trial: the promise that it tests, and how many ``trials`` a long run makes.

    ``seconds`` is the time limit of one trial. ``weight`` is the kind's share of the total time, relative to others.
    """

    name: str
    promise: str
    trials: int
    prepare: Preparation
    seconds: float = 60.0
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A trial that broke the promise, and why."""

    kind: str
    number: int
    verdict: Verdict
    reason: str


@dataclass(kw_only=True, slots=True)
class Score:
    """The verdicts of one kind so far, and the seconds that it took with its preparation."""

    kind: Kind
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def trials(self) -> int:
        """Return how many trials were made."""
        return self.verdicts.total()


class HungError(BaseException):
    """A trial took too long. This is not an `Exception`, so that the tested code cannot catch it."""


def kind(
    name: str, *, promise: str, trials: int, seconds: float = 60.0, weight: float = 1.0
) -> Callable[[Callable[[Path], Iterator[Trial]]], Kind]:
    """Return a decorator that makes a `Kind` of a generator function, which yields the trial once."""

    def made(prepare: Callable[[Path], Iterator[Trial]]) -> Kind:
        managed = contextlib.contextmanager(prepare)
        return Kind(name=name, promise=promise, trials=trials, prepare=managed, seconds=seconds, weight=weight)

    return made


def all_kinds() -> list[Kind]:
    """Return the kinds of every file in `kinds/`, in the order of the files' names."""
    from tests.trust import kinds

    names = sorted(each.name for each in pkgutil.iter_modules(kinds.__path__) if not each.name.startswith("test_"))
    modules = [importlib.import_module(f"tests.trust.kinds.{name}") for name in names]
    return [each for module in modules for each in getattr(module, "KINDS", ())]


def run(kinds: Sequence[Kind], seed: int, budget: float, clock: Callable[[], float]) -> list[Score]:
    """Run trials until ``budget`` seconds are over or every kind has made all of its trials.

    The next trial is always of the kind that has had the least time relative to its weight. Every kind makes at least
    one trial, even if the time is over.
    """
    begun, scores = clock(), [Score(kind=each) for each in kinds]
    with contextlib.ExitStack() as stack:
        trials: dict[str, Trial] = {}
        while waiting := [each for each in scores if each.trials < each.kind.trials]:
            over = clock() - begun >= budget
            waiting = [each for each in waiting if not over or each.trials == 0]
            if not waiting:
                break
            score = min(waiting, key=lambda each: each.seconds / each.kind.weight)
            started = clock()
            if score.kind.name not in trials:
                trials[score.kind.name] = _prepared(score.kind, stack)
            decide(score, trials[score.kind.name], score.trials, seed)
            score.seconds += clock() - started
    return scores


def repeat(chosen: Kind, seed: int, number: int) -> Score:
    """Run one trial again, exactly as in a run with this seed."""
    score = Score(kind=chosen)
    with contextlib.ExitStack() as stack:
        decide(score, _prepared(chosen, stack), number, seed)
    return score


def decide(score: Score, trial: Trial, number: int, seed: int) -> None:
    """Run trial ``number`` and add its verdict to ``score``."""
    verdict, reason = _verdict(trial, number, Random(f"{seed}/{score.kind.name}/{number}"), score.kind.seconds)
    score.verdicts[verdict] += 1
    if verdict not in GOOD:
        score.failures.append(Failure(kind=score.kind.name, number=number, verdict=verdict, reason=reason))


def _prepared(kind: Kind, stack: contextlib.ExitStack) -> Trial:
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"trust-{kind.name}-", ignore_cleanup_errors=True))
    return stack.enter_context(kind.prepare(Path(folder)))


def _verdict(trial: Trial, number: int, rng: Random, seconds: float) -> tuple[Verdict, str]:
    try:
        with _time_limit(seconds):
            return trial(number, rng), ""
    except EdgedraftError:
        return Verdict.REFUSED, ""
    except AssertionError as error:
        return Verdict.WRONG, str(error) or _last_lines()
    except HungError:
        return Verdict.HUNG, f"no end within {seconds:g} s"
    except Exception:  # whatever else comes out is a crash of the product or of the trial: both must be looked at
        return Verdict.CRASHED, _last_lines()


def _last_lines() -> str:
    return " | ".join(line.strip() for line in traceback.format_exc().splitlines()[-4:])


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise `HungError` in the block after ``seconds``."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise HungError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
