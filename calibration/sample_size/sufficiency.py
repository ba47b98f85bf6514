"""Judge whether the prompts at hand are enough to choose a draft vocabulary, and how many more would be."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgedraft.calibration.counts import TokenCounts
from edgedraft.calibration.sample_size.learning_curve import LearningCurve, filled_groups, learning_curve
from edgedraft.calibration.sample_size.token_rates import TokenRates, token_rates
from edgedraft.runtime.base.arrays import Int64Array
from edgedraft.runtime.base.intervals import Interval
from edgedraft.runtime.base.records import require

ENOUGH_GAIN = 0.005
"""Prompts are enough when twice as many would cover less than 0.5 points more of the tokens.

An uncovered token refuses one draft at most, so half a point of coverage is below 1 % of τ (draft length 3, acceptance
0.7): less than a bench can see, for twice the sampling.
"""

LEAST_PROMPTS, LEAST_GROUPS = 16, 8
"""With fewer filled groups the intervals over groups mean little; 16 prompts fill 8 of 32 in 99 of 100 cases."""

TRUSTED_WITHIN = 0.05
"""Rates that miss the measured coverage by more than 5 points are not trusted with telling what more prompts give."""

_FARTHEST_DOUBLING = 6
_LARGEST_SCALE = 2.0
_LEAST_FACTOR = 1.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Sufficiency:
    """The verdict whether ``prompts`` prompts are enough for lists of ``size`` tokens, and the evidence.

    ``coverage``: of held-out prompts; ``gain``: what twice as many prompts would add; both None where too few prompts
    were given to judge. ``more_prompts``: about how many more are needed, 0 when enough, None when that is unknown.
    """

    size: int
    prompts: int
    enough: bool
    sentence: str
    more_prompts: int | None = None
    coverage: Interval | None = None
    gain: Interval | None = None


def unseen_mass(counts: TokenCounts) -> Interval:
    """Share of the domain's tokens that were never seen: those seen once over all. Source: Good 1953 (Good–Turing).

    The 95 % interval is a jackknife over groups, so bursts within a prompt widen it; with one group it is 0..1.
    Bursts also make the value low: a token that came twice in one prompt does not count as seen once.
    """
    require(counts.tokens > 0, "unseen mass: expected at least one token", remedy="give prompts that hold text")
    groups = filled_groups(counts)
    value = _seen_once(counts.counts) / counts.tokens
    if len(groups) < 2:
        return Interval(value=value, low=0.0, high=1.0, level=0.95)
    others = [counts.counts - counts.by_group[group] for group in groups]
    left_out = np.asarray([_seen_once(rest) / rest.sum() for rest in others])
    deviation = math.sqrt((len(groups) - 1) * float(left_out.var()))
    low, high = max(0.0, value - 1.96 * deviation), min(1.0, value + 1.96 * deviation)
    return Interval(value=value, low=low, high=high, level=0.95)


def judge_sufficiency(
    counts: TokenCounts, size: int, first_ids: Sequence[int], rng: np.random.Generator
) -> Sufficiency:
    """Judge whether more prompts would change what a list of ``size`` tokens covers.

    Never raises for want of prompts: with too few the verdict says so.
    """
    if counts.prompts < LEAST_PROMPTS or len(filled_groups(counts)) < LEAST_GROUPS:
        least = LEAST_PROMPTS if counts.prompts < LEAST_PROMPTS else 2 * counts.prompts
        given = "1 prompt is" if counts.prompts == 1 else f"{counts.prompts:,} prompts are"
        sentence = f"not enough: {given} too few to tell by, give at least {least:,}"
        return Sufficiency(size=size, prompts=counts.prompts, enough=False, sentence=sentence)
    curve = learning_curve(counts, size, first_ids, rng)
    return verdict(curve, token_rates(counts, first_ids), counts.prompts)


def verdict(curve: LearningCurve, rates: TokenRates, prompts: int) -> Sufficiency:
    """Judge ``prompts`` prompts by the curve they gave and the rates fitted to them.

    Enough means that the high end of the next doubling's gain is below `ENOUGH_GAIN`; the next doubling is taken to be
    as uncertain as the last one, which was measured. Rates that do not explain the curve never say enough.
    """
    last = curve.last_gain
    assert last is not None, "a curve over LEAST_GROUPS groups has several points"
    gains = expected_gains(curve, rates)
    value = gains[0] if gains else max(last.value, 0.0)
    low, high = (max(value + end - last.value, 0.0) for end in (last.low, last.high))
    gain = Interval(value=value, low=low, high=high, level=last.level)
    enough = bool(gains) and gain.high < ENOUGH_GAIN
    factor = 1.0 if enough else _factor(gain, gains)
    more = None if factor is None else _rounded_up(prompts * (factor - 1))
    return Sufficiency(
        size=curve.size,
        prompts=prompts,
        enough=enough,
        sentence=_sentence(curve, prompts, gain, more),
        more_prompts=more,
        coverage=curve.points[-1].coverage,
        gain=gain,
    )


def expected_gains(curve: LearningCurve, rates: TokenRates) -> tuple[float, ...]:
    """Return what the next doubling adds, the one after it, and so on; none where the rates miss the curve.

    Where the measured curve still climbs faster than the rates explain, the gains are scaled up to it.
    """
    if abs(rates.coverage(curve.size, 1.0) - curve.points[-1].coverage.value) > TRUSTED_WITHIN:
        return ()
    doublings = range(-1, _FARTHEST_DOUBLING + 2)
    covered = [rates.coverage(curve.size, 2.0**doubling) for doubling in doublings]
    before, *gains = np.maximum(np.diff(covered), 0).tolist()
    measured = curve.last_gain.value if curve.last_gain else 0.0
    scale = min(max(1.0, measured / before), _LARGEST_SCALE) if before > 0 else 1.0
    return tuple(scale * gain for gain in gains)


def _factor(gain: Interval, gains: Sequence[float]) -> float | None:
    """Return the factor to the prompts from which doubling adds less than `ENOUGH_GAIN`; None where it is too far.

    A gain that is small but uncertain asks for so many prompts that the uncertainty, too, has shrunk below it.
    """
    unsure = gain.high - gain.value if gain.value < ENOUGH_GAIN else 0.0
    ends = [value + unsure / math.sqrt(2.0**doubling) for doubling, value in enumerate(gains)]
    for doubling, (here, there) in enumerate(itertools.pairwise(ends)):
        if there < ENOUGH_GAIN:
            way = math.log(here / ENOUGH_GAIN) / math.log(here / max(there, ENOUGH_GAIN / 10))
            return max(_LEAST_FACTOR, float(2.0 ** (doubling + way)))
    return None


def _sentence(curve: LearningCurve, prompts: int, gain: Interval, more: int | None) -> str:
    covered = curve.points[-1].coverage
    facts = (
        f"{prompts:,} prompts cover {covered.value:.1%} [{100 * covered.low:.1f}–{100 * covered.high:.1f}] of held-out"
        f" tokens at {curve.size:,}; twice as many would add about {100 * gain.value:.1f} points"
    )
    limit = f"{100 * ENOUGH_GAIN:g}"
    if more == 0:
        return f"enough: {facts}"
    if more is None and gain.high < ENOUGH_GAIN:
        return f"cannot tell: {facts} by the last doubling, but the tokens come too unevenly to foresee more"
    if more is None:
        return f"not enough: {facts}; how many would bring that below {limit} cannot be told from so few"
    if gain.value < ENOUGH_GAIN:
        return f"not surely enough: {facts}, at most {100 * gain.high:.2f}; about {more:,} more prompts would tell"
    return f"not enough: {facts}; about {more:,} more prompts would bring that below {limit}"


def _rounded_up(prompts: float) -> int:
    """Two figures are all that an extrapolation can promise."""
    if prompts <= 0:
        return 0
    step = int(10 ** max(0, math.floor(math.log10(prompts)) - 1))
    return math.ceil(prompts / step) * step


def _seen_once(counts: Int64Array) -> int:
    return int(np.count_nonzero(counts == 1))
