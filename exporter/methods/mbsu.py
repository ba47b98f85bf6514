"""The modelled memory-bound speed-up of a plan, with parameters as its cost. Source: VocabTrim, arXiv 2506.22694."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgedraft.exporter.planning.scan import ReplayFunction
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.statistics import memory_bound_speed_up

DRAFT_LENGTHS = tuple(range(1, 9))
"""The draft lengths to weigh; the model takes verification as free, so it favours long drafts more than machines do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterCosts:
    """Parameters that a step reads: ``drafter(K)`` with K tokens in its head, and the target's."""

    drafter: Callable[[int], int]
    target: int

    def __post_init__(self) -> None:
        require(self.target >= 1, "mbsu: expected a target of at least one parameter", got=self.target)

    def ratio(self, size: int) -> float:
        """Return c, the drafter's parameters over the target's."""
        return self.drafter(size) / self.target


@dataclass(frozen=True, kw_only=True, slots=True)
class MbsuOption:
    """One (K, γ) with its replayed τ and the speed-up that VocabTrim's model predicts."""

    draft_vocab_size: int
    draft_length: int
    cost_ratio: float
    block_efficiency: float
    mbsu: float


@dataclass(frozen=True, kw_only=True, slots=True)
class MbsuResult:
    """The option of the highest MBSU, and all of them, the best first."""

    best: MbsuOption
    options: tuple[MbsuOption, ...]


def maximise_mbsu(
    replayed: ReplayFunction, costs: ParameterCosts, sizes: Sequence[int], draft_lengths: Sequence[int] = DRAFT_LENGTHS
) -> MbsuResult:
    """Rank every (K, γ) of the grid by τ(K, γ) / (c(K)·γ + 1); of equally good ones the smaller comes first."""
    require(bool(sizes) and bool(draft_lengths), "mbsu: expected at least one size and one draft length", got="none")
    options = [_option(replayed, costs, size, length) for size in sizes for length in draft_lengths]
    ordered = sorted(options, key=lambda option: (-option.mbsu, option.draft_vocab_size, option.draft_length))
    return MbsuResult(best=ordered[0], options=tuple(ordered))


def _option(replayed: ReplayFunction, costs: ParameterCosts, size: int, draft_length: int) -> MbsuOption:
    outcome = replayed(size, draft_length)
    remedy = "allow longer answers or use other prompts"
    rule = "mbsu: expected answers of two tokens or more"
    require(int(outcome.tokens.sum()) > 0, rule, got="only shorter ones", remedy=remedy)
    ratio = costs.ratio(size)
    return MbsuOption(
        draft_vocab_size=size,
        draft_length=draft_length,
        cost_ratio=ratio,
        block_efficiency=outcome.block_efficiency,
        mbsu=memory_bound_speed_up(outcome.block_efficiency, ratio, draft_length),
    )
