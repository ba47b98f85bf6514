"""Errors of the priors by runtime: each device predicted from the others, and each weighing the same."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgedraft.devices.priors.validation import JudgedRow


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineErrors:
    """Errors of a runtime's strict rows on one backend, as those of `ClassErrors`, but by devices instead of rows.

    A row weighs one over its device's rows, so that a device that was measured twelve times counts once. ``holds`` is
    the weighed share of rows inside their 80 % interval.
    """

    backend: str
    engine: str
    rows: int
    devices: int
    median_error: float
    ninth_decile_error: float
    holds: float


def engine_errors(by_backend: Mapping[str, Sequence[JudgedRow]]) -> tuple[EngineErrors, ...]:
    """Summarize judged rows by runtime, the most devices first, and all of a backend together."""
    found = []
    for backend, rows in by_backend.items():
        engines: dict[str, list[JudgedRow]] = {}
        for row in rows:
            engines.setdefault(row.error.speed.engine, []).append(row)
        parts = [_errors(backend, engine, part) for engine, part in engines.items()]
        found += sorted(parts, key=lambda each: (-each.devices, -each.rows, each.engine))
        found += [_errors(backend, "all", rows)] if rows else []
    return tuple(found)


def _errors(backend: str, engine: str, rows: Sequence[JudgedRow]) -> EngineErrors:
    counted = Counter(row.error.speed.device for row in rows)
    weights = [1 / counted[row.error.speed.device] for row in rows]
    errors = [row.relative for row in rows]
    return EngineErrors(
        backend=backend,
        engine=engine,
        rows=len(rows),
        devices=len(counted),
        median_error=weighted_quantile(errors, weights, 0.5),
        ninth_decile_error=weighted_quantile(errors, weights, 0.9),
        holds=float(np.average([row.held for row in rows], weights=weights)),
    )


def weighted_quantile(values: Sequence[float], weights: Sequence[float], share: float) -> float:
    """Return the least value that, with all below it, has ``share`` of the weight or more."""
    order = np.argsort(values, kind="stable")
    heavier = np.cumsum(np.asarray(weights, dtype=np.float64)[order])
    # Sums of fractions miss a share by a last digit: 1/3 + 1/3 + 1/3 + 1 is not 2 times one half of it.
    place = int(np.searchsorted(heavier, share * heavier[-1] * (1 - 1e-12)))
    return float(np.asarray(values, dtype=np.float64)[order][place])


def engine_table(engines: Sequence[EngineErrors]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return header and rows as text for printing."""
    header = ("runtime, by devices", "rows", "devices", "median error", "90th percentile", "80 % interval holds")
    return header, tuple(
        (
            f"{each.backend.upper()} {each.engine}",
            f"{each.rows}",
            f"{each.devices}",
            f"{each.median_error:.1%}",
            f"{each.ninth_decile_error:.1%}",
            f"{each.holds:.0%}",
        )
        for each in engines
    )
