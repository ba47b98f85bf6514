"""Numbers that say what decoding achieved: counts of a run, memory-bound speed-up, medians and intervals."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgedraft.runtime.base.intervals import QUARTILES, Interval
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.rounds import Round


@dataclass(frozen=True, kw_only=True, slots=True)
class DraftStatistics:
    """Counts over drafted rounds (the prompt's own pass left out), under onnxruntime-genai's field names.

    ``draft_tokens_evaluated`` are drafts the target looked at: the accepted ones and the first refused one of a round.
    """

    rounds: int
    tokens: int
    draft_tokens_proposed: int
    draft_tokens_evaluated: int
    draft_tokens_accepted: int

    @property
    def acceptance_rate(self) -> float:
        """Return accepted over evaluated drafts; 0 when nothing was drafted."""
        return self.draft_tokens_accepted / self.draft_tokens_evaluated if self.draft_tokens_evaluated else 0.0

    @property
    def block_efficiency(self) -> float:
        """Return τ: the mean of tokens committed per target pass, the target's own included."""
        return self.tokens / self.rounds if self.rounds else 0.0


def count_rounds(rounds: Iterable[Round]) -> DraftStatistics:
    """Sum the rounds of one or more answers; each answer's first round must be left out by the caller."""
    counted = list(rounds)
    return DraftStatistics(
        rounds=len(counted),
        tokens=sum(len(round_.token_ids) for round_ in counted),
        draft_tokens_proposed=sum(round_.drafted for round_ in counted),
        draft_tokens_evaluated=sum(_evaluated(round_) for round_ in counted),
        draft_tokens_accepted=sum(round_.accepted for round_ in counted),
    )


def _evaluated(round_: Round) -> int:
    """Count the drafts that the target looked at; where an answer was cut after an accepted draft, none was refused."""
    return min(round_.drafted, round_.accepted + (len(round_.token_ids) > round_.accepted))


def memory_bound_speed_up(block_efficiency: float, cost_ratio: float, draft_length: int) -> float:
    """Return τ / (c·γ + 1), c being the drafter's cost over the target's. Source: VocabTrim, arXiv 2506.22694."""
    return block_efficiency / (cost_ratio * draft_length + 1)


def median_interval(values: Sequence[float]) -> Interval:
    """Return the median of ``values`` with their quartiles, an interval of level `QUARTILES`."""
    low, median, high = np.quantile(np.asarray(values, dtype=np.float64), (0.25, 0.5, 0.75))
    return Interval(value=float(median), low=float(low), high=float(high), level=QUARTILES)


def trimmed_mean(values: Sequence[float]) -> float:
    """Return the mean without the lowest and the highest tenth: what a pass costs on average, bursts of load left out.

    A median would be less wherever times lean to one side.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    left_out = len(ordered) // 10
    return float(ordered[left_out : len(ordered) - left_out].mean())


def bootstrap_rng() -> np.random.Generator:
    """Return the same random numbers every time, so that bootstrap intervals repeat."""
    return np.random.default_rng(0)


def ratio_interval(
    parts: npt.ArrayLike, wholes: npt.ArrayLike, rng: np.random.Generator, draws: int = 1000
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of sum(parts) / sum(wholes), one entry a prompt, drawn with replacement."""
    part, whole = np.asarray(parts, dtype=np.float64), np.asarray(wholes, dtype=np.float64)
    require(bool((whole > 0).all()), "bootstrap: every prompt must count for something", got=float(whole.min()))
    picks = rng.integers(0, len(part), size=(draws, len(part)))
    low, high = np.quantile(part[picks].sum(axis=1) / whole[picks].sum(axis=1), (0.025, 0.975))
    return float(low), float(high)
