"""How sure a prediction is: the answers resampled and the step times redrawn, many times over."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgedraft.devices.latency import Estimate, StepModel
from edgedraft.exporter.planning.costs import PairLatency
from edgedraft.exporter.planning.options import Candidate, Option
from edgedraft.exporter.planning.replay import Replay
from edgedraft.exporter.planning.weighing import predicted_seconds
from edgedraft.runtime.base.arrays import Float64Array

DRAWS = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class Certainty:
    """80 % intervals of the speeds with and without drafts and of their ratio, and how likely drafting is to pay.

    ``chance_to_lead`` is how likely the option is faster than the runner-up, None without one.
    """

    tokens_per_second: Estimate
    plain_tokens_per_second: Estimate
    speed_up: Estimate
    chance_to_pay: float
    chance_to_lead: float | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Finalist:
    """An option, what its setup's passes cost, and its replayed answers."""

    option: Option
    latency: PairLatency
    outcome: Replay

    @classmethod
    def of(cls, option: Option, candidate: Candidate) -> "Finalist":
        """Replay an option of a candidate."""
        outcome = candidate.replayed(option.draft_vocab_size, option.draft_length)
        return cls(option=option, latency=candidate.latency, outcome=outcome)

    def tokens_per_second(self, latency: PairLatency, weights: npt.NDArray[np.int64]) -> float:
        """The speed when each answer counts ``weights`` times; NaN when only empty answers do."""
        size, length = self.option.draft_vocab_size, self.option.draft_length
        seconds = float(weights @ predicted_seconds(self.outcome, size, length, latency.costs))
        return float(weights @ self.outcome.tokens) / seconds if seconds > 0 else float("nan")


def certainty(best: Finalist, plain: PairLatency, runner_up: Finalist | None, rng: np.random.Generator) -> Certainty:
    """Draw the world ``DRAWS`` times and look at the speeds of ``best``, of ``plain`` decoding and of the runner-up.

    In each world all share the answers that were drawn, the device's luck, and the step models they have in common.
    """
    finalists = [best, *([runner_up] if runner_up else [])]
    answers = len(best.outcome.tokens)
    speeds, plains = np.empty((len(finalists), DRAWS)), np.empty(DRAWS)
    for draw, weights in enumerate(rng.multinomial(answers, np.full(answers, 1 / answers), size=DRAWS)):
        redraw = _world(rng)
        plains[draw] = 1 / plain.redrawn(redraw).costs.target(1)
        speeds[:, draw] = [each.tokens_per_second(each.latency.redrawn(redraw), weights) for each in finalists]
    kept = ~np.isnan(speeds).any(axis=0)
    speeds, plains = speeds[:, kept], plains[kept]
    alone, fast = 1 / plain.costs.target(1), best.option.tokens_per_second
    return Certainty(
        tokens_per_second=_estimate(fast, speeds[0]),
        plain_tokens_per_second=_estimate(alone, plains),
        speed_up=_estimate(fast / alone, speeds[0] / plains),
        chance_to_pay=float((speeds[0] > plains).mean()),
        chance_to_lead=float((speeds[0] > speeds[1]).mean()) if runner_up else None,
    )


def _world(rng: np.random.Generator) -> Callable[[StepModel], StepModel]:
    """One draw of everything that is not known; a step model asked for twice comes out the same."""
    shared = float(rng.standard_normal())
    drawn: dict[StepModel, StepModel] = {}

    def redraw(model: StepModel) -> StepModel:
        if model not in drawn:
            drawn[model] = model.sampled(shared, rng)
        return drawn[model]

    return redraw


def _estimate(value: float, drawn: Float64Array) -> Estimate:
    low, high = np.quantile(drawn, (0.1, 0.9))
    return Estimate(value=value, low=float(low), high=float(high))
