"""Method balanced: the draft vocabulary size that balances coverage and draft latency. Source: arXiv 2603.05210.

The paper searches with TPE. Its utility has one hill, so a scan over every size is exact and takes milliseconds: both
run, the scan's size is chosen, and the result says what TPE missed.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from edgedraft.calibration.counts import TokenCounts
from edgedraft.exporter.methods.flops import LinearCost
from edgedraft.exporter.methods.utility import ScoredSize, Utility, UtilitySettings
from edgedraft.exporter.planning.search import Point, SearchSettings, Whole, tpe_maximise
from edgedraft.runtime.base.progress import Progress, silent

_CURVE_POINTS = 200
_SIZE = "vocab_size"
_INFEASIBLE = -1.0
"""What the reference tool scores a size that covers too little; utilities lie in 0..1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BalancedSettings:
    """The utility to maximise, and the settings of TPE; the defaults are the reference tool's."""

    utility: UtilitySettings = field(default_factory=UtilitySettings)
    search: SearchSettings = field(default_factory=lambda: SearchSettings(trials=30, seed=42))


@dataclass(frozen=True, kw_only=True, slots=True)
class BalancedTrial:
    """A size that TPE tried; one that covers too little is not ``feasible``."""

    weighed: ScoredSize
    feasible: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class BalancedResult:
    """``chosen`` is the scan's, ``by_tpe`` the best that TPE tried, None where all it tried cover too little.

    ``worthwhile_share`` is the share of the counted tokens from which a token is worth its row; ``curve`` are sizes
    over the allowed range, for a picture.
    """

    chosen: ScoredSize
    by_tpe: ScoredSize | None
    trials: tuple[BalancedTrial, ...]
    curve: tuple[ScoredSize, ...]
    worthwhile_share: float
    target_vocab_size: int
    settings: BalancedSettings

    @property
    def missed_by_tpe(self) -> float | None:
        """Utility that TPE's best size lacks; 0 where it is as good."""
        return None if self.by_tpe is None else self.chosen.utility - self.by_tpe.utility


def balance(
    counts: TokenCounts, cost: LinearCost, settings: BalancedSettings, progress: Progress = silent
) -> BalancedResult:
    """Choose the draft vocabulary size of a drafter that costs ``cost`` per token, an EAGLE-3 one or any other.

    Raises `EdgedraftError` where no allowed size covers enough.
    """
    utility = Utility(counts.counts, cost, settings.utility)
    chosen = utility.scan()
    space = {_SIZE: Whole(low=settings.utility.min_size, high=min(settings.utility.max_size, utility.vocab_size))}

    def objective(point: Point) -> float:
        size = int(point[_SIZE])
        return utility.score(size).utility if utility.allows(size) else _INFEASIBLE

    # One sampler for all trials, which learns of sizes that cover too little as of bad ones: the same seed then tries
    # the same sizes in the same order as the reference tool.
    searched = tpe_maximise(objective, space, replace(settings.search, one_sampler=True), progress)
    sizes = [int(trial.point[_SIZE]) for trial in searched.trials]
    feasible = [utility.score(size) for size in sizes if utility.allows(size)]
    return BalancedResult(
        chosen=chosen,
        by_tpe=max(feasible, key=lambda each: each.utility, default=None),
        trials=tuple(BalancedTrial(weighed=utility.score(size), feasible=utility.allows(size)) for size in sizes),
        curve=_curve(utility, chosen.size, space[_SIZE]),
        worthwhile_share=utility.worthwhile_share,
        target_vocab_size=utility.vocab_size,
        settings=settings,
    )


def _curve(utility: Utility, chosen: int, sizes: Whole) -> tuple[ScoredSize, ...]:
    """Score about `_CURVE_POINTS` sizes, closer together where they are small, and the chosen one."""
    spread = np.geomspace(sizes.low, sizes.high, _CURVE_POINTS).round().astype(np.int64)
    return tuple(utility.score(int(size)) for size in np.union1d(spread, [chosen]))
