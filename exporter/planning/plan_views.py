"""What the pictures of a plan show: options thinned for an axis, speeds of one setup, clouds by setup, the front."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgedraft.exporter.planning.options import Option
from edgedraft.exporter.planning.planner import Decision
from edgedraft.exporter.planning.weighing import Weighed
from edgedraft.runtime.base.arrays import BoolArray, Float64Array, Ids

_SIZES_A_DOUBLING = 8


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SpeedMap:
    """Predicted ``tokens_per_second`` (sizes, lengths) of one setup, and which ``sizes`` the limits ``allowed``."""

    sizes: Ids
    draft_lengths: Ids
    tokens_per_second: Float64Array
    allowed: BoolArray

    @property
    def within_limits(self) -> "np.ma.MaskedArray[tuple[int, int], np.dtype[np.float64]]":
        """The speeds, (sizes, lengths), masked where the limits forbid."""
        forbidden = np.broadcast_to(~self.allowed[:, None], self.tokens_per_second.shape)
        return np.ma.masked_array(self.tokens_per_second, forbidden)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cloud:
    """Options of one setup or of several: memory and speed of each, (options,), and whether the limits allow it."""

    label: str
    memory_bytes: npt.NDArray[np.int64]
    tokens_per_second: Float64Array
    allowed: BoolArray


def speed_map(decision: Decision) -> SpeedMap:
    """The chosen setup's speeds at sizes that a picture can show, those of the plan and the runner-up among them."""
    weighed = decision.weighed
    marked = [option.draft_vocab_size for option in (decision.best, decision.runner_up) if option is not None]
    places, candidate = thinned(weighed.sizes, marked), weighed.candidates.index(weighed.candidate_of(decision.best))
    return SpeedMap(
        sizes=weighed.sizes[places],
        draft_lengths=weighed.draft_lengths,
        tokens_per_second=weighed.predicted[candidate, places],
        allowed=weighed.allowed[candidate, places],
    )


def thinned(sizes: Ids, kept: Sequence[int]) -> Ids:
    """Places among ascending ``sizes`` that show them well on a logarithmic axis: both ends, ``kept`` and few others.

    Neighbours are at most an eighth of a doubling apart unless nothing lies between them.
    """
    step, places = 2 ** (1 / _SIZES_A_DOUBLING), [0]
    while places[-1] < len(sizes) - 1:
        reached = int(np.searchsorted(sizes, sizes[places[-1]] * step, side="right")) - 1
        places.append(max(reached, places[-1] + 1))
    return np.union1d(places, np.flatnonzero(np.isin(sizes, kept)))


def cell_edges(sizes: Ids) -> Float64Array:
    """Where the cells of ascending ``sizes`` meet on a logarithmic axis, (sizes + 1,): half way between neighbours."""
    logs = np.log(sizes)
    if len(sizes) == 1:
        return np.array([sizes[0] / 1.1, sizes[0] * 1.1])
    half = np.diff(logs) / 2
    edges: Float64Array = np.exp(np.concatenate([[logs[0] - half[0]], logs[:-1] + half, [logs[-1] + half[-1]]]))
    return edges


def runs(flags: BoolArray) -> list[tuple[int, int]]:
    """Of each run of true ``flags`` (n,) its first place and the one behind its last."""
    bounds = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return [(int(first), int(behind)) for first, behind in bounds.reshape(-1, 2)]


def pareto_options(weighed: Weighed) -> tuple[Option, ...]:
    """Options within the limits that no other beats in speed or memory without losing in the other, the leanest first.

    Of options equal in both the first candidate's, then that of the smaller size and the shorter draft.
    """
    speeds = weighed.tokens_per_second
    lengths, fastest = speeds.argmax(axis=2), speeds.max(axis=2)
    leanest_first = np.lexsort((-fastest.ravel(), weighed.memory_bytes.ravel()))
    record = np.maximum.accumulate(np.append(0.0, fastest.ravel()[leanest_first]))
    front = leanest_first[record[1:] > record[:-1]]
    places = zip(*np.unravel_index(front, fastest.shape), strict=True)
    return tuple(weighed.option(int(one), int(size), int(lengths[one, size])) for one, size in places)


def window(options: Sequence[Option]) -> tuple[float, float, float, float]:
    """Least and most bytes, least and most tokens per second of a view with all ``options`` well inside."""
    left, right = _around([option.memory_bytes for option in options])
    low, high = _around([option.tokens_per_second for option in options])
    return left, right, low, high


def _around(values: Sequence[float]) -> tuple[float, float]:
    least, most = min(values), max(values)
    margin = max(0.08 * (most - least), 0.005 * most)
    return least - margin, most + margin


def clouds(weighed: Weighed, named: int) -> tuple[Cloud, ...]:
    """Options at thinned sizes: of each of the ``named`` fastest setups, then of all others together."""
    places = thinned(weighed.sizes, ())
    order = np.argsort(-weighed.tokens_per_second.max(axis=(1, 2)), kind="stable").tolist()
    found = [_cloud(weighed, [one], places, str(weighed.candidates[one].setup)) for one in order[:named]]
    rest = order[named:]
    if rest:
        found.append(_cloud(weighed, rest, places, f"{len(rest)} other setup{'s' if len(rest) > 1 else ''}"))
    return tuple(found)


def _cloud(weighed: Weighed, candidates: list[int], places: Ids, label: str) -> Cloud:
    chosen = np.ix_(np.array(candidates), places)
    speeds = weighed.predicted[chosen]
    return Cloud(
        label=label,
        memory_bytes=np.broadcast_to(weighed.memory_bytes[chosen][:, :, None], speeds.shape).ravel(),
        tokens_per_second=speeds.ravel(),
        allowed=np.broadcast_to(weighed.allowed[chosen][:, :, None], speeds.shape).ravel(),
    )
