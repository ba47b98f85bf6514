"""Uncertainty of a prediction: bootstrapped answers and redrawn step times, many times over."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgedraft.devices.latency import StepModel
from edgedraft.exporter.planning.replay import Replay
from edgedraft.exporter.planning.scoring import Option, PairLatency, ScoredOptions, predicted_seconds
from edgedraft.runtime.base.arrays import Float64Array
from edgedraft.runtime.base.intervals import Interval

DRAWS = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class Uncertainty:
    """80 % intervals of the speeds with and without drafts and of their ratio, and how likely drafting is to pay.

    ``chance_to_lead`` is the chance that the best option is faster than the runner-up, None without a runner-up.
    """

    tokens_per_second: Interval
    plain_tokens_per_second: Interval
    speed_up: Interval
    chance_to_pay: float
    chance_to_lead: float | None


def estimate_uncertainty(
    scored: ScoredOptions, best: Option, runner_up: Option | None, plain: PairLatency, rng: np.random.Generator
) -> Uncertainty:
    """Draw answers and step models ``DRAWS`` times, and compare the speeds of ``best``, ``runner_up`` and ``plain``.

    ``plain`` is the latency of the pair that decodes without drafts. Within a draw all of them share the answers, the
    device's deviation from its model, and the step models that they have in common.
    """
    options = [best, *([runner_up] if runner_up else [])]
    outcomes = [scored.answers.replay(each.draft_vocab_size, each.draft_length) for each in options]
    latencies = [scored.candidate_of(each).latency for each in options]
    answers = len(outcomes[0].tokens)
    speeds, plains = np.empty((len(options), DRAWS)), np.empty(DRAWS)
    for draw, weights in enumerate(rng.multinomial(answers, np.full(answers, 1 / answers), size=DRAWS)):
        redraw = _redraw(rng)
        plains[draw] = 1 / plain.redrawn(redraw).target_seconds(1)
        speeds[:, draw] = [
            _tokens_per_second(option, outcome, latency.redrawn(redraw), weights)
            for option, outcome, latency in zip(options, outcomes, latencies, strict=True)
        ]
    # A draw of empty answers only says nothing about speed.
    valid = ~np.isnan(speeds).any(axis=0)
    speeds, plains = speeds[:, valid], plains[valid]
    alone, fast = 1 / plain.target_seconds(1), best.tokens_per_second
    return Uncertainty(
        tokens_per_second=_estimate(fast, speeds[0]),
        plain_tokens_per_second=_estimate(alone, plains),
        speed_up=_estimate(fast / alone, speeds[0] / plains),
        chance_to_pay=float((speeds[0] > plains).mean()),
        chance_to_lead=float((speeds[0] > speeds[1]).mean()) if runner_up else None,
    )


def _tokens_per_second(option: Option, outcome: Replay, latency: PairLatency, weights: npt.NDArray[np.int64]) -> float:
    """Return the speed when each answer counts ``weights`` (answers,) times; NaN when only empty answers do."""
    seconds = float(weights @ predicted_seconds(outcome, option.draft_vocab_size, option.draft_length, latency))
    return float(weights @ outcome.tokens) / seconds if seconds > 0 else float("nan")


def _redraw(rng: np.random.Generator) -> Callable[[StepModel], StepModel]:
    """Return one draw of all step models; a model that is asked for twice comes out the same."""
    shared = float(rng.standard_normal())
    drawn: dict[StepModel, StepModel] = {}

    def redraw(model: StepModel) -> StepModel:
        if model not in drawn:
            drawn[model] = model.sampled(shared, rng)
        return drawn[model]

    return redraw


def _estimate(value: float, drawn: Float64Array) -> Interval:
    low, high = np.quantile(drawn, (0.1, 0.9))
    return Interval(value=value, low=float(low), high=float(high), level=0.8)
