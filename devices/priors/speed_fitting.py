"""Fitting a SpeedModel: robust maximum a posteriori estimates of its effects by Gauss–Newton steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgedraft.devices.priors.published import PublishedSpeed
from edgedraft.devices.priors.speed_model import (
    Assumptions,
    Classes,
    Effect,
    SpeedModel,
    assumptions_of,
    case_of,
    effects_of,
)
from edgedraft.runtime.base.arrays import Float64Array
from edgedraft.runtime.base.records import require

_QUANTITIES = ("stream", "overhead", "compute")
_STEPS = 25
_LONGEST_STEP = 1.0
_FREEDOM = 4.0
"""Degrees of freedom of Student's t for a row's scatter: a row three sigmas off weighs about a third."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BandwidthTest:
    """The share of its peak that a bandwidth test reached on a device: known before any decoding speed is."""

    device: str
    hardware: str | None
    share: float


def bandwidth_tests(speeds: Sequence[PublishedSpeed]) -> tuple[BandwidthTest, ...]:
    """Return the bandwidth tests that ``speeds`` name, one a device."""
    found = {}
    for speed in speeds:
        if speed.reached_gigabytes_per_second is not None:
            share = speed.reached_gigabytes_per_second / speed.peak_gigabytes_per_second
            found[speed.device] = BandwidthTest(device=speed.device, hardware=speed.hardware, share=share)
    return tuple(found.values())


def fit_speeds(speeds: Sequence[PublishedSpeed], tests: Sequence[BandwidthTest] = ()) -> SpeedModel:
    """Fit the rows of one backend; a test counts as an observation of its device's alpha, also where it has no row."""
    backends = {speed.backend for speed in speeds}
    require(len(backends) == 1, "speed model: expected rows of one backend", got=sorted(backends))
    assumptions = assumptions_of(speeds[0].backend)
    problem = _problem(speeds, tests, assumptions)
    theta = problem.means.copy()
    for _ in range(_STEPS):
        theta = theta + np.clip(_step(problem, theta), -_LONGEST_STEP, _LONGEST_STEP)
    effects = dict(zip(problem.effects, (float(value) for value in theta), strict=True))
    return SpeedModel(beliefs=assumptions.beliefs, effects=effects)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _FitProblem:
    """The fit as arrays. ``stream``, ``overhead``, ``compute`` (rows, effects), ``tested`` (tests, effects): 0 or 1."""

    effects: tuple[Effect, ...]
    means: Float64Array
    precisions: Float64Array
    stream: Float64Array
    overhead: Float64Array
    compute: Float64Array
    bytes_over_peak: Float64Array
    parameters_per_thread: Float64Array
    log_seconds: Float64Array
    row_sigmas: Float64Array
    tested: Float64Array
    log_shares: Float64Array
    bandwidth_sigma: float


def _problem(speeds: Sequence[PublishedSpeed], tests: Sequence[BandwidthTest], given: Assumptions) -> _FitProblem:
    cases = [case_of(speed) for speed in speeds]
    named = {name: [effects_of(name, case.classes, given.beliefs) for case in cases] for name in _QUANTITIES}
    streams = [Classes(device=test.device, hardware=test.hardware) for test in tests]
    tested = [effects_of("stream", classes, given.beliefs) for classes in streams]
    effects = tuple(sorted({effect for rows in (*named.values(), tested) for row in rows for effect in row}))
    computes = float("compute any" in given.beliefs)
    return _FitProblem(
        effects=effects,
        means=np.array([given.beliefs[kind].mean for kind, _ in effects]),
        precisions=np.array([given.beliefs[kind].sigma ** -2 for kind, _ in effects]),
        stream=_incidence(named["stream"], effects),
        overhead=_incidence(named["overhead"], effects),
        compute=_incidence(named["compute"], effects),
        bytes_over_peak=np.array([case.streamed_bytes / case.peak_bytes_per_second for case in cases]),
        parameters_per_thread=np.array([computes * case.parameters / case.threads for case in cases]),
        log_seconds=np.log([speed.seconds for speed in speeds]),
        row_sigmas=np.array([given.row_sigma * (1 if speed.bytes_known else 2) for speed in speeds]),
        tested=_incidence(tested, effects),
        log_shares=np.log([test.share for test in tests]),
        bandwidth_sigma=given.bandwidth_sigma,
    )


def _incidence(named: Sequence[Sequence[Effect]], effects: Sequence[Effect]) -> Float64Array:
    """(rows, effects): 1 where the row has the effect."""
    place = {effect: index for index, effect in enumerate(effects)}
    matrix = np.zeros((len(named), len(effects)))
    for row, names in enumerate(named):
        matrix[row, [place[name] for name in names]] = 1.0
    return matrix


def _step(problem: _FitProblem, theta: Float64Array) -> Float64Array:
    """One Gauss–Newton step of the log posterior, rows weighted as Student's t would (Lange and others, 1989)."""
    streaming = np.exp(problem.stream @ theta) * problem.bytes_over_peak
    computing = np.exp(problem.compute @ theta) * problem.parameters_per_thread
    overhead = np.exp(problem.overhead @ theta)
    both = np.hypot(streaming, computing)
    seconds = overhead + both
    slopes = (
        problem.stream * (streaming**2 / both / seconds)[:, None]
        + problem.compute * (computing**2 / both / seconds)[:, None]
        + problem.overhead * (overhead / seconds)[:, None]
    )
    residuals = problem.log_seconds - np.log(seconds)
    weights = (_FREEDOM + 1) / (_FREEDOM + (residuals / problem.row_sigmas) ** 2) / problem.row_sigmas**2
    bandwidth_residuals = -problem.log_shares - problem.tested @ theta
    bandwidth_weight = problem.bandwidth_sigma**-2
    pull = (
        slopes.T @ (weights * residuals)
        + problem.tested.T @ (bandwidth_weight * bandwidth_residuals)
        - problem.precisions * (theta - problem.means)
    )
    curvature = (slopes.T * weights) @ slopes + bandwidth_weight * problem.tested.T @ problem.tested
    return np.asarray(np.linalg.solve(curvature + np.diag(problem.precisions), pull))
