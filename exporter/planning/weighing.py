"""Weighing every option: predicted tokens per second of all setups, draft vocabulary sizes and draft lengths at once.

Seconds of the answers = rounds · (γ · drafter(K, 1 row) + target(γ + 1 rows)) + full rounds · the drafter's second row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgedraft.exporter.planning.costs import StepCosts
from edgedraft.exporter.planning.options import Candidate, Limits, Option
from edgedraft.exporter.planning.replay import Replay
from edgedraft.exporter.planning.scan import Scan
from edgedraft.runtime.base.arrays import Float64Array
from edgedraft.runtime.base.records import require

_GIB = 2**30

LONGER_ANSWERS = "allow longer answers or use other prompts"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Weighed:
    """All options: ``predicted`` tokens per second (candidates, sizes, lengths), coverage (sizes,).

    ``memory_bytes`` and what the limits ``allowed`` are (candidates, sizes). All candidates weigh the same sizes and
    lengths.
    """

    candidates: tuple[Candidate, ...]
    coverage: Float64Array
    memory_bytes: npt.NDArray[np.int64]
    allowed: npt.NDArray[np.bool_]
    predicted: Float64Array

    @property
    def tokens_per_second(self) -> Float64Array:
        """``predicted``, 0 where a limit forbids."""
        return np.where(self.allowed[:, :, None], self.predicted, 0.0)

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Draft vocabulary sizes, ascending."""
        return self.candidates[0].scan.sizes

    @property
    def draft_lengths(self) -> npt.NDArray[np.int64]:
        """Draft lengths, ascending."""
        return self.candidates[0].scan.draft_lengths

    def option(self, candidate: int, size: int, length: int) -> Option:
        """The option at these places."""
        chosen, scan = self.candidates[candidate], self.candidates[candidate].scan
        return Option(
            setup=chosen.setup,
            draft_vocab_size=int(scan.sizes[size]),
            draft_length=int(scan.draft_lengths[length]),
            coverage=float(self.coverage[size]),
            memory_bytes=int(self.memory_bytes[candidate, size]),
            block_efficiency=float(scan.tokens / scan.rounds[size, length]),
            acceptance_rate=float(scan.accepted[size, length] / max(scan.evaluated[size, length], 1)),
            tokens_per_second=float(self.predicted[candidate, size, length]),
        )

    def ranked(self) -> Iterator[Option]:
        """Options, the fastest first; of equals the first candidate, the smaller size, the shorter draft."""
        within = self.tokens_per_second
        speeds = within.ravel()
        for place in np.argsort(-speeds, kind="stable"):
            if speeds[place] == 0:
                return
            candidate, size, length = np.unravel_index(place, within.shape)
            yield self.option(int(candidate), int(size), int(length))

    def leaders(self) -> list[Option]:
        """The best size of each setup and draft length, the fastest first."""
        found, speeds = [], self.tokens_per_second
        for candidate, length in np.ndindex(len(self.candidates), len(self.draft_lengths)):
            size = int(speeds[candidate, :, length].argmax())
            if speeds[candidate, size, length] > 0:
                found.append(self.option(candidate, size, length))
        return sorted(found, key=lambda option: -option.tokens_per_second)

    def candidate_of(self, option: Option) -> Candidate:
        """The candidate that an option loads."""
        return next(each for each in self.candidates if each.setup == option.setup)


def weigh(candidates: Sequence[Candidate], coverage: Float64Array, limits: Limits) -> Weighed:
    """Weigh every option, ``coverage`` (sizes,) known; refuses limits that none keeps to, naming what is reachable."""
    require(len(candidates) > 0, "planning: expected one precision or more that may be used", got="none")
    sizes = candidates[0].scan.sizes.tolist()
    memory = np.array([[each.memory_bytes(size) for size in sizes] for each in candidates], dtype=np.int64)
    allowed = np.broadcast_to(coverage >= limits.min_coverage, memory.shape)
    remedy = f"the widest choice covers {coverage.max():.1%}: allow less or calibrate on more prompts"
    require(bool(allowed.any()), f"min coverage {limits.min_coverage:.1%}: no plan reaches it", remedy=remedy)
    if limits.memory_bytes is not None:
        smallest = memory[allowed].min()
        allowed = allowed & (memory <= limits.memory_bytes)
        rule = f"memory budget {limits.memory_bytes / _GIB:.2f} GiB: no plan fits"
        remedy = f"the smallest needs {smallest / _GIB:.2f} GiB: allow more, a smaller precision or a shorter context"
        require(bool(allowed.any()), rule, remedy=remedy)
    speeds = np.stack([predicted_speeds(each.scan, each.latency.costs) for each in candidates])
    return Weighed(
        candidates=tuple(candidates),
        coverage=coverage,
        memory_bytes=memory,
        allowed=allowed,
        predicted=speeds,
    )


def predicted_speeds(scan: Scan, costs: StepCosts) -> Float64Array:
    """Tokens per second, (sizes, lengths)."""
    require_tokens(scan.tokens)
    lengths = scan.draft_lengths.tolist()
    one, two = (np.array([costs.drafter(size, rows) for size in scan.sizes.tolist()])[:, None] for rows in (1, 2))
    verifying = np.array([costs.target(length + 1) for length in lengths])
    seconds = scan.rounds * (one * np.array(lengths) + verifying) + scan.full_rounds * (two - one)
    result: Float64Array = scan.tokens / seconds
    return result


def predicted_seconds(outcome: Replay, size: int, draft_length: int, costs: StepCosts) -> Float64Array:
    """Seconds that each replayed answer would take, (answers,)."""
    one, two = costs.drafter(size, 1), costs.drafter(size, 2)
    per_round = draft_length * one + costs.target(draft_length + 1)
    result: Float64Array = outcome.rounds * per_round + outcome.full_rounds * (two - one)
    return result


def require_tokens(tokens: int) -> None:
    """Refuse a trace that holds nothing to replay."""
    got = "only shorter ones"
    require(tokens > 0, "planning: expected answers of two tokens or more", got=got, remedy=LONGER_ANSWERS)
