"""Choose how to draft: predict the speed of every way by measured passes and a bundle's forecast, and take the fastest.

Nothing here measures.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edgedraft.devices.tuning.passes import MeasuredPasses, TimedRound, pass_seconds
from edgedraft.runtime.base.intervals import Interval
from edgedraft.runtime.core.forecast import AcceptanceForecast, LengthForecast, LookupForecast, share
from edgedraft.runtime.core.plan import WORTHWHILE_SPEED_UP
from edgedraft.runtime.core.policies import FIXED, PLAIN
from edgedraft.runtime.core.statistics import bootstrap_rng

NGRAM = "ngram"
_RESAMPLINGS = 200
_LEVEL = 0.8


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictedWay:
    """A policy with its draft length (0: no drafts), and what the forecast and the passes predict for it."""

    policy: str
    draft_length: int
    tokens_per_second: float
    block_efficiency: float
    acceptance_rate: float


def predicted_ways(forecast: AcceptanceForecast, passes: MeasuredPasses) -> list[PredictedWay]:
    """Predict plain decoding first, then every draft length and every useful look-up whose passes were timed."""
    plain = PredictedWay(
        policy=PLAIN,
        draft_length=0,
        tokens_per_second=1 / passes.target_seconds(1),
        block_efficiency=1.0,
        acceptance_rate=0.0,
    )
    return [plain, *_drafting(forecast, passes)]


def _drafting(forecast: AcceptanceForecast, passes: MeasuredPasses) -> Iterator[PredictedWay]:
    longest = len(passes.target) - 1
    kinds: tuple[LengthForecast | LookupForecast, ...] = (*forecast.lengths, *forecast.lookups)
    for each in kinds:
        if each.draft_length > longest or (isinstance(each, LookupForecast) and not each.accepted):
            continue
        by_drafter = isinstance(each, LengthForecast)
        if isinstance(each, LengthForecast):
            seconds, rounds = each.seconds(passes.drafter, passes.target_seconds), each.rounds
        else:
            seconds, rounds = each.seconds(passes.target_seconds), float(sum(each.rounds))
        yield PredictedWay(
            policy=FIXED if by_drafter else NGRAM,
            draft_length=each.draft_length,
            tokens_per_second=forecast.tokens / seconds,
            block_efficiency=forecast.tokens / rounds,
            acceptance_rate=share(each.accepted, each.evaluated),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TuningChoice:
    """The fastest way that drafts (of the drafter's own, if none is worth it), and all ways.

    ``speculate`` says whether it is worth it, ``speed_up`` by how much, with an 80 % interval.
    """

    best: PredictedWay
    plain: PredictedWay
    speculate: bool
    speed_up: Interval
    chance_to_pay: float
    ways: tuple[PredictedWay, ...]
    passes: MeasuredPasses


def chosen_way(ways: Sequence[PredictedWay]) -> PredictedWay:
    """Return the fastest of the ``ways`` behind plain decoding; the drafter's own, where none is worth it."""
    plain, *drafting = ways
    best = max(drafting, key=lambda way: way.tokens_per_second)
    if best.tokens_per_second >= WORTHWHILE_SPEED_UP * plain.tokens_per_second:
        return best
    # The plan still says how to draft where the user asks for it: by the drafter.
    return max((way for way in drafting if way.policy == FIXED), key=lambda way: way.tokens_per_second)


def choose(forecast: AcceptanceForecast, turns: Sequence[Sequence[TimedRound]], *, reads_states: bool) -> TuningChoice:
    """Choose by the turns that were timed. The interval is of the times: whole turns are drawn again and again."""
    passes = _passes(turns, reads_states)
    ways = predicted_ways(forecast, passes)
    plain, best = ways[0], chosen_way(ways)
    rng, ratios = bootstrap_rng(), list[float]()
    for _ in range(_RESAMPLINGS):
        drawn = [turns[place] for place in rng.integers(0, len(turns), size=len(turns))]
        ratios.append(_speed_up(forecast, _passes(drawn, reads_states), best))
    value = best.tokens_per_second / plain.tokens_per_second
    low, high = np.quantile(ratios, ((1 - _LEVEL) / 2, (1 + _LEVEL) / 2)).tolist()
    return TuningChoice(
        best=best,
        plain=plain,
        speculate=value >= WORTHWHILE_SPEED_UP,
        speed_up=Interval(value=value, low=min(low, value), high=max(high, value), level=_LEVEL),
        chance_to_pay=float(np.mean(np.array(ratios) > 1)),
        ways=tuple(ways),
        passes=passes,
    )


def _passes(turns: Sequence[Sequence[TimedRound]], reads_states: bool) -> MeasuredPasses:
    return pass_seconds([each for turn in turns for each in turn], reads_states=reads_states)


def _speed_up(forecast: AcceptanceForecast, passes: MeasuredPasses, chosen: PredictedWay) -> float:
    plain, *drafting = predicted_ways(forecast, passes)
    same = next(way for way in drafting if (way.policy, way.draft_length) == (chosen.policy, chosen.draft_length))
    return same.tokens_per_second / plain.tokens_per_second
