"""Scores of all options: predicted tokens per second of every setup, draft vocabulary size and draft length at once.

Seconds of the answers = rounds · (first(K) + (γ - 1) · next(K) + target(γ + 1 rows)) + what the first passes read more.

first and next are the drafter's passes. An independent drafter's are alike, and the first has a second row after a full
round. A layer that reads the target's states does so in the first, which has one more row for each draft accepted.

A target with recurrent states adds the rows that it reads again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edgedraft.devices.latency import StepModel
from edgedraft.exporter.planning.replay import DRAFT_LENGTHS, Replay
from edgedraft.exporter.planning.scan import ReplayedAnswers, Scan
from edgedraft.runtime.base.arrays import CountArray, Float64Array, Ids
from edgedraft.runtime.base.kernel_names import UNRECORDED, PairKernels
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.forecast import DraftCosts
from edgedraft.runtime.core.padding import paid_seconds

_GIB = 2**30

LONGER_ANSWERS = "allow longer answers or use other prompts"


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """The setup of a pair: precision of each role, execution provider, threads of the shared pool, kernels."""

    target_precision: str
    drafter_precision: str
    threads: int
    provider: str = "cpu"
    kernels: PairKernels = UNRECORDED

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        where = threads if self.provider == "cpu" else self.provider
        kernels = f", {self.kernels}" if self.provider == "cpu" and self.kernels != UNRECORDED else ""
        return f"target {self.target_precision}, drafter {self.drafter_precision}, {where}{kernels}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingCost:
    """Seconds that a drafter takes to read the target's states in a round: in all, and for each row after one."""

    seconds: float
    row_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PairLatency:
    """Step models of both roles and the bytes that one pass of each reads; ``drafter_bytes(K)`` with K draft tokens.

    ``reading`` is None for a drafter that reads tokens alone.
    """

    target: StepModel
    drafter: StepModel
    target_bytes: int
    drafter_bytes: Callable[[int], int]
    reading: ReadingCost | None = None
    target_rereads: bool = False
    """Whether the target has recurrent states, so that a partly accepted draft's tokens are read again."""
    rows_seconds: float = 0.0
    """Seconds that rows from the conversation add to each pass of the drafter."""

    @property
    def kernels(self) -> PairKernels:
        """Return the kernels that the step models were timed with."""
        return PairKernels(target=self.target.kernels, drafter=self.drafter.kernels)

    def drafter_seconds(self, size: int, rows: int) -> float:
        """Return the seconds of a drafter's pass over ``rows`` tokens with a head of ``size`` tokens.

        One row is a further draft's; where the drafter reads the target's states, more are those of a first pass.
        """
        if self.reading is None:
            return self.drafter.seconds(self.drafter_bytes(size), rows) + self.rows_seconds
        one = self.drafter.seconds(self.drafter_bytes(size), 1)
        return one if rows == 1 else one + self.reading.seconds + (rows - 1) * self.reading.row_seconds

    def draft_costs(self, size: int) -> DraftCosts:
        """Return the seconds of the drafter's passes with a head of ``size`` tokens."""
        one = self.drafter_seconds(size, 1)
        if self.reading is None:
            return DraftCosts(first=one, next=one, after_full=self.drafter_seconds(size, 2) - one)
        return DraftCosts(first=one + self.reading.seconds, next=one, per_accepted=self.reading.row_seconds)

    def target_seconds(self, rows: int) -> float:
        """Return the seconds of a target's pass that needs ``rows`` rows, padded as the runtime pads it.

        A target with recurrent states is not padded.
        """
        seconds = self.target_pass_seconds
        return (seconds if self.target_rereads else paid_seconds(seconds))[rows - 1]

    def rereading_seconds(self, draft_length: int, accepted: CountArray, full_rounds: CountArray) -> Float64Array:
        """Return the seconds that a target with recurrent states reads accepted drafts again; else 0.

        Drafts accepted in rounds that refused another one become further rows of the next pass. Those of the
        ``full_rounds`` are not read again: the states behind them were kept.
        """
        again = np.asarray(accepted - full_rounds * draft_length, dtype=np.float64)
        return again * self._row_again_seconds(draft_length)

    def _row_again_seconds(self, draft_length: int) -> float:
        """Return the seconds of a token read again: a pass has 1 to ``draft_length`` - 1 of them, or none."""
        if not self.target_rereads or draft_length < 2:
            return 0.0  # a single draft is refused, or accepted and kept
        least, most = (self.target.seconds(self.target_bytes, rows) for rows in (draft_length + 1, 2 * draft_length))
        return max(most - least, 0.0) / (draft_length - 1)

    @property
    def target_pass_seconds(self) -> tuple[float, ...]:
        """Seconds of a target's pass over i + 1 rows as it is timed, unpadded, up to the longest round."""
        # The longest round verifies all its drafts and one more row, the token that precedes them.
        return tuple(self.target.seconds(self.target_bytes, rows) for rows in range(1, DRAFT_LENGTHS[-1] + 2))

    def redrawn(self, draw: Callable[[StepModel], StepModel]) -> "PairLatency":
        """Return the same pair with each step model replaced by ``draw(model)``."""
        return replace(self, target=draw(self.target), drafter=draw(self.drafter))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Candidate:
    """A setup with the seconds of its passes and its bytes of memory by draft vocabulary size."""

    setup: Setup
    latency: PairLatency
    memory_bytes: Callable[[int], int]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanLimits:
    """Limits of a plan: memory of models and key/value buffers, and coverage on held-out prompts."""

    memory_bytes: int | None = None
    min_coverage: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One way to speculate, with what held-out prompts and pass times predict for it."""

    setup: Setup
    draft_vocab_size: int
    draft_length: int
    coverage: float
    memory_bytes: int
    block_efficiency: float
    acceptance_rate: float
    tokens_per_second: float
    rereading_seconds: float = 0.0
    """Of a mean round: a target with recurrent states reads drafts again that were accepted before a refused one."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ScoredOptions:
    """All options of some candidates on the same answers: ``predicted`` tokens per second (candidates, sizes, lengths).

    ``memory_bytes`` and ``allowed``, whether the limits allow them, are (candidates, sizes).
    """

    candidates: tuple[Candidate, ...]
    answers: ReplayedAnswers
    limits: PlanLimits
    memory_bytes: npt.NDArray[np.int64]
    allowed: npt.NDArray[np.bool_]
    predicted: Float64Array

    @property
    def tokens_per_second(self) -> Float64Array:
        """``predicted``, 0 where a limit forbids."""
        return np.where(self.allowed[:, :, None], self.predicted, 0.0)

    @property
    def sizes(self) -> Ids:
        """Draft vocabulary sizes, ascending."""
        return self.answers.scan.sizes

    @property
    def draft_lengths(self) -> Ids:
        """Draft lengths, ascending."""
        return self.answers.scan.draft_lengths

    def option(self, candidate: int, size: int, length: int) -> Option:
        """Return the option at these places of ``predicted``."""
        scan, draft_vocab_size = self.answers.scan, int(self.sizes[size])
        draft_length, accepted, full = int(scan.draft_lengths[length]), scan.accepted, scan.full_rounds
        again = self.candidates[candidate].latency.rereading_seconds(
            draft_length, accepted[size, length], full[size, length]
        )
        return Option(
            setup=self.candidates[candidate].setup,
            draft_vocab_size=draft_vocab_size,
            draft_length=draft_length,
            coverage=float(self.answers.coverage[draft_vocab_size - 1]),
            memory_bytes=int(self.memory_bytes[candidate, size]),
            block_efficiency=float(scan.tokens / scan.rounds[size, length]),
            acceptance_rate=float(scan.accepted[size, length] / max(scan.evaluated[size, length], 1)),
            tokens_per_second=float(self.predicted[candidate, size, length]),
            rereading_seconds=float(again) / float(scan.rounds[size, length]),
        )

    def ranked(self) -> Iterator[Option]:
        """Yield the allowed options, the fastest first; of equals the first candidate, smaller size, shorter draft."""
        within = self.tokens_per_second
        speeds = within.ravel()
        for place in np.argsort(-speeds, kind="stable"):
            if speeds[place] == 0:
                return
            candidate, size, length = np.unravel_index(place, within.shape)
            yield self.option(int(candidate), int(size), int(length))

    def best_per_length(self) -> list[Option]:
        """Return the best size of each setup and draft length, the fastest first."""
        best, speeds = [], self.tokens_per_second
        for candidate, length in np.ndindex(len(self.candidates), len(self.draft_lengths)):
            size = int(speeds[candidate, :, length].argmax())
            if speeds[candidate, size, length] > 0:
                best.append(self.option(candidate, size, length))
        return sorted(best, key=lambda option: -option.tokens_per_second)

    def candidate_of(self, option: Option) -> Candidate:
        """Return the candidate whose setup an option has."""
        return next(each for each in self.candidates if each.setup == option.setup)


def score_options(candidates: Sequence[Candidate], answers: ReplayedAnswers, limits: PlanLimits) -> ScoredOptions:
    """Predict the speed of every option.

    Raises `EdgedraftError` where no option keeps to the limits, naming what is reachable.
    """
    require(len(candidates) > 0, "planning: expected one precision or more that may be used", got="none")
    sizes = answers.scan.sizes
    memory = np.array([[each.memory_bytes(size) for size in sizes.tolist()] for each in candidates], dtype=np.int64)
    allowed = _allowed(memory, answers.coverage[sizes - 1], limits)
    return ScoredOptions(
        candidates=tuple(candidates),
        answers=answers,
        limits=limits,
        memory_bytes=memory,
        allowed=allowed,
        predicted=np.stack([predicted_speeds(answers.scan, each.latency) for each in candidates]),
    )


def _allowed(memory: npt.NDArray[np.int64], coverage: Float64Array, limits: PlanLimits) -> npt.NDArray[np.bool_]:
    """Tell which ``memory`` (candidates, sizes) and ``coverage`` (sizes,) keep to the limits: (candidates, sizes)."""
    allowed = np.broadcast_to(coverage >= limits.min_coverage, memory.shape)
    remedy = f"the widest choice covers {coverage.max():.1%}: allow less or calibrate on more prompts"
    require(bool(allowed.any()), f"min coverage {limits.min_coverage:.1%}: no plan reaches it", remedy=remedy)
    if limits.memory_bytes is None:
        return allowed
    smallest = memory[allowed].min()
    allowed = allowed & (memory <= limits.memory_bytes)
    rule = f"memory budget {limits.memory_bytes / _GIB:.2f} GiB: no plan fits"
    remedy = f"the smallest needs {smallest / _GIB:.2f} GiB: allow more, a smaller precision or a shorter context"
    require(bool(allowed.any()), rule, remedy=remedy)
    return allowed


def predicted_speeds(scan: Scan, latency: PairLatency) -> Float64Array:
    """Return tokens per second at every size and draft length of a scan, (sizes, lengths)."""
    require_tokens(scan.tokens)
    lengths = scan.draft_lengths
    costs = [latency.draft_costs(size) for size in scan.sizes.tolist()]
    first, after_full, following, per_accepted = (
        np.array(values)[:, None]
        for values in zip(*((each.first, each.after_full, each.next, each.per_accepted) for each in costs), strict=True)
    )
    verifying = np.array([latency.target_seconds(length + 1) for length in lengths.tolist()])
    seconds = scan.rounds * (first + (lengths - 1) * following + verifying)
    seconds = seconds + scan.full_rounds * after_full + scan.accepted * per_accepted
    counts = zip(lengths.tolist(), scan.accepted.T, scan.full_rounds.T, strict=True)
    seconds = seconds + np.stack([latency.rereading_seconds(*each) for each in counts], axis=1)
    return np.asarray(scan.tokens / seconds, dtype=np.float64)


def predicted_seconds(outcome: Replay, size: int, draft_length: int, latency: PairLatency) -> Float64Array:
    """Return the seconds that each replayed answer would take, (answers,)."""
    costs = latency.draft_costs(size)
    per_round = costs.of_round(draft_length) + latency.target_seconds(draft_length + 1)
    more = outcome.full_rounds * costs.after_full + outcome.accepted * costs.per_accepted
    more = more + latency.rereading_seconds(draft_length, outcome.accepted, outcome.full_rounds)
    result: Float64Array = np.asarray(outcome.rounds * per_round + more, dtype=np.float64)
    return result


def require_tokens(tokens: int) -> None:
    """Raise `EdgedraftError` where a trace holds no ``tokens`` to replay."""
    got = "only shorter ones"
    require(tokens > 0, "planning: expected answers of two tokens or more", got=got, remedy=LONGER_ANSWERS)
