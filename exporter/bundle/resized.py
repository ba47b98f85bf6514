"""A plan and a calibration rewritten for another draft vocabulary size, from the forecast at that size."""

import math
from dataclasses import replace
from statistics import NormalDist

from edgedraft.exporter.bundle.token_order import SizeForecast
from edgedraft.runtime.bundle.manifest import CalibrationEntry
from edgedraft.runtime.core.forecast import AcceptanceForecast
from edgedraft.runtime.core.plan import WORTHWHILE_SPEED_UP, DecodingPlan

_NEVER = 1e-3
"""Chances nearer to 0 or 1 than this are as good as that: no resampling could tell them from certainty."""


def resized_plan(plan: DecodingPlan, size: int, forecast: SizeForecast) -> DecodingPlan:
    """Return ``plan`` with ``size`` draft tokens and everything else unchanged, draft length and threads too.

    Speed, τ and pass times come from the forecast. The interval of the speed-up moves with its middle and keeps its
    relative width; the chance to pay is that of a log-normal speed-up moved by the same factor.
    """
    faster = forecast.tokens_per_second / plan.predicted_tokens_per_second
    speed_up = plan.predicted_speed_up * faster
    resized = replace(
        plan,
        draft_vocab_size=size,
        predicted_tokens_per_second=forecast.tokens_per_second,
        predicted_block_efficiency=forecast.block_efficiency,
        predicted_acceptance_rate=forecast.acceptance_rate,
        drafter_pass_seconds=forecast.drafter_pass_seconds,
        speculate=speed_up >= WORTHWHILE_SPEED_UP,
        speed_up_low=plan.speed_up_low * faster,
        speed_up_high=plan.speed_up_high * faster,
        chance_to_pay=_moved_chance(plan, faster),
    )
    return replace(resized, reason=_reason(resized))


def resized_calibration(calibration: CalibrationEntry, forecast: SizeForecast) -> CalibrationEntry:
    """Return the same calibration with the coverage of that size, on the same held-out answers."""
    return replace(
        calibration,
        coverage=forecast.coverage,
        coverage_low=forecast.coverage_low,
        coverage_high=forecast.coverage_high,
    )


def resized_forecast(forecast: AcceptanceForecast | None, at_size: SizeForecast) -> AcceptanceForecast | None:
    """Return the forecast of the same answers at that size; look-ups do not depend on it. None in older bundles."""
    if forecast is None or not at_size.lengths:
        return None
    return replace(forecast, lengths=at_size.lengths)


def _moved_chance(plan: DecodingPlan, faster: float) -> float:
    """Return the chance that a speed-up ``faster`` times the plan's lies above 1.

    The plan's low and high are its 10 % and 90 % quantiles.
    """
    normal = NormalDist()
    width = math.log(plan.speed_up_high / plan.speed_up_low) / (2 * normal.inv_cdf(0.9))
    if width == 0:
        return float(plan.predicted_speed_up * faster > 1)
    before = normal.inv_cdf(min(max(plan.chance_to_pay, _NEVER), 1 - _NEVER))
    return normal.cdf(before + math.log(faster) / width)


def _reason(plan: DecodingPlan) -> str:
    """Write the verdict in one sentence."""
    gamma, ends = plan.draft_length, f"[{plan.speed_up_low:.2f}–{plan.speed_up_high:.2f}]"
    drafting = 1e3 * gamma * plan.drafter_pass_seconds[0]
    return (
        f"{'speculate' if plan.speculate else 'do not speculate'}, trimmed to {plan.draft_vocab_size:,} draft tokens "
        f"after planning: a round of {gamma} draft{'s' if gamma > 1 else ''} takes {drafting:.0f} ms of drafting "
        f"and yields {plan.predicted_block_efficiency:.2f} tokens, {plan.predicted_tokens_per_second:.1f} tokens/s; "
        f"the target alone makes {plan.predicted_plain_tokens_per_second:.1f} tokens/s; "
        f"speed-up {plan.predicted_speed_up:.2f} {ends}, {plan.chance_to_pay:.0%} likely to pay"
    )
