"""The token order inside a bundle, with a forecast for each size: a later trim to another size needs only this.

Only sums over all held-out answers are kept, from which no answer can be read.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedraft.exporter.bundle.forecasts import length_forecast
from edgedraft.runtime.base.arrays import CountArray, Float64Array, Ids
from edgedraft.runtime.base.errors import naming
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.tensors import read_tensors, write_tensors
from edgedraft.runtime.core.forecast import LengthForecast
from edgedraft.runtime.core.index_map import IndexMap

TOKEN_ORDER_NAME = "token_order.safetensors"

_LENGTHS, _REPLAYED = "draft_lengths", "replayed"
_EXPORT_AGAIN = "export the bundle again"
_TENSORS = {"token_ids": np.int32, "sizes": np.int32, "coverage": np.float32, "foreseen": np.float32}


@dataclass(frozen=True, kw_only=True, slots=True)
class SizeForecast:
    """A forecast for one draft vocabulary size at the plan's draft length; coverage with its 95 % interval.

    ``drafter_pass_seconds`` are of passes over one and over two tokens. ``lengths`` are the rounds at each draft length
    that was replayed; older bundles have none.
    """

    coverage: float
    coverage_low: float
    coverage_high: float
    tokens_per_second: float
    block_efficiency: float
    acceptance_rate: float
    drafter_pass_seconds: tuple[float, float]
    lengths: tuple[LengthForecast, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SizeForecasts:
    """Forecasts by size: ``sizes`` (sizes,) ascending, ``coverage`` (sizes, 3): value, low, high.

    ``speeds`` (sizes, 5): tokens per second, τ, acceptance rate, drafter seconds of one and of two tokens.
    ``replayed`` (sizes, ``draft_lengths``, 4): rounds, full rounds, accepted and evaluated drafts; None in older files.
    """

    sizes: Ids
    coverage: Float64Array
    speeds: Float64Array
    draft_lengths: Ids | None = None
    replayed: CountArray | None = None

    def __post_init__(self) -> None:
        shapes = (self.coverage.shape, self.speeds.shape)
        expected = ((len(self.sizes), 3), (len(self.sizes), 5))
        require(shapes == expected, f"forecasts: expected shapes {expected}", got=shapes)
        if self.replayed is not None and self.draft_lengths is not None:
            whole = (len(self.sizes), len(self.draft_lengths), 4)
            require(self.replayed.shape == whole, f"forecasts: expected shape {whole}", got=self.replayed.shape)

    def at(self, size: int) -> SizeForecast | None:
        """Return the forecast at ``size``, None for a size that planning did not score."""
        places = np.flatnonzero(self.sizes == size)
        if not len(places):
            return None
        value, low, high = self.coverage[places[0]].tolist()
        speed, efficiency, rate, one, two = self.speeds[places[0]].tolist()
        return SizeForecast(
            coverage=value,
            coverage_low=low,
            coverage_high=high,
            tokens_per_second=speed,
            block_efficiency=efficiency,
            acceptance_rate=rate,
            drafter_pass_seconds=(one, two),
            lengths=self._lengths_at(int(places[0])),
        )

    def _lengths_at(self, place: int) -> tuple[LengthForecast, ...]:
        if self.replayed is None or self.draft_lengths is None:
            return ()
        rows = zip(self.draft_lengths.tolist(), self.replayed[place].tolist(), strict=True)
        return tuple(length_forecast(length, counts) for length, counts in rows)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenOrder:
    """All target token ids, most frequent first, int64 (vocab,), and the forecasts by size."""

    token_ids: Ids
    forecasts: SizeForecasts

    def __post_init__(self) -> None:
        whole = np.array_equal(np.sort(self.token_ids), np.arange(len(self.token_ids)))
        require(whole, "token order: expected every token once", got=f"{len(self.token_ids)} ids")

    def kept(self, size: int) -> IndexMap:
        """Return the map of the ``size`` most frequent tokens."""
        return IndexMap(target_ids=np.sort(self.token_ids[:size]), target_vocab_size=len(self.token_ids))


def write_token_order(path: Path, order: TokenOrder) -> None:
    """Write the order and its forecasts as one safetensors file."""
    forecasts = order.forecasts
    arrays = (order.token_ids, forecasts.sizes, forecasts.coverage, forecasts.speeds)
    tensors = {name: array.astype(kind) for (name, kind), array in zip(_TENSORS.items(), arrays, strict=True)}
    if forecasts.draft_lengths is not None and forecasts.replayed is not None:
        tensors |= {
            _LENGTHS: forecasts.draft_lengths.astype(np.int32),
            _REPLAYED: forecasts.replayed.astype(np.float32),
        }
    write_tensors(path, tensors)


def read_token_order(path: Path) -> TokenOrder:
    """Read and check an order; any fault is an `EdgedraftError` that names the file."""
    tensors, _ = read_tensors(path)
    missing = sorted(set(_TENSORS) - set(tensors))
    require(not missing, f"{path}: no tensor {', '.join(missing)}", got=", ".join(sorted(tensors)) or "none")
    whole = _LENGTHS in tensors and _REPLAYED in tensors
    with naming(path, _EXPORT_AGAIN):
        return TokenOrder(
            token_ids=tensors["token_ids"].astype(np.int64),
            forecasts=SizeForecasts(
                sizes=tensors["sizes"].astype(np.int64),
                coverage=tensors["coverage"].astype(np.float64),
                speeds=tensors["foreseen"].astype(np.float64),
                draft_lengths=tensors[_LENGTHS].astype(np.int64) if whole else None,
                replayed=tensors[_REPLAYED].astype(np.float64) if whole else None,
            ),
        )
