"""The token order inside a bundle, with a forecast for each size: a later trim to another size needs only this.

Only sums over all held-out answers are kept, from which no answer can be read.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedraft.runtime.base.arrays import Float64Array, Ids
from edgedraft.runtime.base.errors import naming
from edgedraft.runtime.base.records import require
from edgedraft.runtime.base.tensors import read_tensors, write_tensors
from edgedraft.runtime.core.index_map import IndexMap

TOKEN_ORDER_NAME = "token_order.safetensors"

_EXPORT_AGAIN = "export the bundle again"
_TENSORS = {"token_ids": np.int32, "sizes": np.int32, "coverage": np.float32, "foreseen": np.float32}


@dataclass(frozen=True, kw_only=True, slots=True)
class SizeForecast:
    """A forecast for one draft vocabulary size at the plan's draft length; coverage with its 95 % interval.

    ``drafter_pass_seconds`` are of passes over one and over two tokens.
    """

    coverage: float
    coverage_low: float
    coverage_high: float
    tokens_per_second: float
    block_efficiency: float
    acceptance_rate: float
    drafter_pass_seconds: tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SizeForecasts:
    """Forecasts by size: ``sizes`` (sizes,) ascending, ``coverage`` (sizes, 3): value, low, high.

    ``speeds`` (sizes, 5): tokens per second, τ, acceptance rate, drafter seconds of one and of two tokens.
    """

    sizes: Ids
    coverage: Float64Array
    speeds: Float64Array

    def __post_init__(self) -> None:
        shapes = (self.coverage.shape, self.speeds.shape)
        expected = ((len(self.sizes), 3), (len(self.sizes), 5))
        require(shapes == expected, f"forecasts: expected shapes {expected}", got=shapes)

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
        )


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
    write_tensors(
        path, {name: array.astype(kind) for (name, kind), array in zip(_TENSORS.items(), arrays, strict=True)}
    )


def read_token_order(path: Path) -> TokenOrder:
    """Read and check an order; any fault is an `EdgedraftError` that names the file."""
    tensors, _ = read_tensors(path)
    missing = sorted(set(_TENSORS) - set(tensors))
    require(not missing, f"{path}: no tensor {', '.join(missing)}", got=", ".join(sorted(tensors)) or "none")
    with naming(path, _EXPORT_AGAIN):
        return TokenOrder(
            token_ids=tensors["token_ids"].astype(np.int64),
            forecasts=SizeForecasts(
                sizes=tensors["sizes"].astype(np.int64),
                coverage=tensors["coverage"].astype(np.float64),
                speeds=tensors["foreseen"].astype(np.float64),
            ),
        )
