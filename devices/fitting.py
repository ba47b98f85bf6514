"""Fitting step models to measured steps: of real models by role, of the probe's chains by precision and provider."""

from collections.abc import Sequence

import numpy as np

from edgedraft.devices.latency import LatencyModel, StepModel
from edgedraft.devices.profile import Probe, ProbedStep
from edgedraft.devices.steps import StepTime
from edgedraft.runtime.base.arrays import Float64Array
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import require

NORMAL_QUARTILE = 0.6744897501960817
"""Standard deviations from the mean of a normal distribution to either quartile."""


TYPICAL_PRODUCTS = 130
"""Matrix products in a decoder of 0.5 to 3 billion parameters: 5 a layer, 24 to 28 layers, and the head."""
TYPICAL_BYTES = 10**9
"""Bytes that such a decoder's pass reads; v(rows), which depends on it a little, is taken there."""
PLANNED_ROWS = 5
"""Most rows of the passes that plans are usually made of: four drafts and the token before them."""

Timed = StepTime | ProbedStep


def fit_step_model(steps: Sequence[StepTime]) -> StepModel:
    """Fit the steps of one role. With a single model size the overhead cannot be separated and counts as 0."""
    ones = [step for step in steps if step.rows == 1]
    require(len(ones) > 0, "latency model: expected a one-row step", got=[step.rows for step in steps])
    overhead, per_byte = _fit_line([step.weight_bytes for step in ones], [step.seconds for step in ones])
    rows = sorted({step.rows for step in steps})
    return StepModel(
        overhead_seconds=overhead,
        seconds_per_byte=per_byte,
        rows=tuple(rows),
        row_factors=_ascending([_row_factor(steps, count) for count in rows]),
        device_sigma=scale_sigma(ones),
        own_sigma=_residual(ones, overhead, per_byte),
        growth_sigma=growth_sigma(steps),
        kernels=steps[0].kernels,
    )


def fit_probe(probe: Probe) -> LatencyModel:
    """Return the step models of every probed precision and provider.

    A chain takes ``run + products · each + bytes · per_byte``: chains of two widths read as much with unequal numbers
    of products, which tells the two costs apart. A probed product has a norm behind it and so represents a decoder's
    product with its share of the other nodes; a model's overhead is that of `TYPICAL_PRODUCTS`.

    v(rows) stays as measured, also where more rows take less time: WebGPU's tiles make 4 rows cheaper than 2. The
    runtime pads passes by the plan's seconds for each number of rows (`padded_rows`); smoothing v would hide where
    padding pays.
    """
    runs = {overhead.provider: overhead.seconds for overhead in probe.overheads}
    kinds = sorted({(step.precision, step.provider) for step in probe.steps})
    models = {
        (precision, provider): _fit_chains(fastest_steps(probe, precision, provider), runs.get(provider, 0.0))
        for precision, provider in kinds
    }
    return LatencyModel(device=probe.system, models=models)


def fastest_steps(probe: Probe, precision: str, provider: str) -> list[ProbedStep]:
    """Return the steps of one precision with the fastest kernels, if several were timed.

    Passes of up to `PLANNED_ROWS` rows are compared; each number of rows has the same weight.
    """
    steps = [step for step in probe.steps if (step.precision, step.provider) == (precision, provider)]
    by_kernels = {name: [step for step in steps if step.kernels == name] for name in sorted({s.kernels for s in steps})}
    return min(by_kernels.values(), key=_mean_log_seconds)


def passes_label(probe: Probe, precision: str, provider: str, kernels: str) -> str:
    """Name passes by precision, provider and kernels; if several kernels were timed, name those that plans use."""
    timed = {step.kernels for step in probe.steps if (step.precision, step.provider) == (precision, provider)}
    taken = fastest_steps(probe, precision, provider)[0].kernels
    chosen = ", taken" if len(timed) > 1 and kernels == taken else ""
    return f"{precision} on {provider}" + (f", {kernels}{chosen}" if kernels else "")


def _mean_log_seconds(steps: Sequence[ProbedStep]) -> float:
    return float(np.mean([np.log(step.seconds) for step in steps if step.rows <= PLANNED_ROWS]))


def _fit_chains(steps: Sequence[ProbedStep], run_seconds: float) -> StepModel:
    """Fit one precision's chains. Its uncertainty is half the log distance between the fit and the widest chain."""
    rows = sorted({step.rows for step in steps})
    require(rows[:1] == [1], "probe: expected a one-row step", got=rows)
    costs = [_chain_costs([step for step in steps if step.rows == count], run_seconds) for count in rows]
    typical = np.array([run_seconds + TYPICAL_PRODUCTS * each + TYPICAL_BYTES * per_byte for each, per_byte in costs])
    widest = max(step.width for step in steps)
    scaled = np.array([_scaled(steps, widest, count) for count in rows])
    factors, wide_factors = typical / typical[0], scaled / scaled[0]
    each, per_byte = costs[0]
    return StepModel(
        overhead_seconds=run_seconds + TYPICAL_PRODUCTS * each,
        seconds_per_byte=per_byte,
        rows=tuple(rows),
        row_factors=tuple(map(float, factors)),
        device_sigma=scale_sigma([step for step in steps if step.rows == 1]),
        own_sigma=float(abs(np.log(typical[0] / scaled[0])) / 2),
        growth_sigma=float(np.hypot(growth_sigma(steps), _disagreement(factors, wide_factors))),
        kernels=steps[0].kernels,
    )


def _chain_costs(steps: Sequence[ProbedStep], run_seconds: float) -> tuple[float, float]:
    """Return the seconds of each product and of each byte, neither negative; a single width gives only the latter."""
    sizes = np.array([[step.layers, step.weight_bytes] for step in steps], dtype=np.float64)
    seconds = np.array([step.seconds for step in steps]) - run_seconds
    only_bytes = 0.0, max(float(sizes[:, 1] @ seconds / (sizes[:, 1] @ sizes[:, 1])), 0.0)
    if len({step.width for step in steps}) == 1:
        return only_bytes
    (each, per_byte), *_ = np.linalg.lstsq(sizes, seconds, rcond=None)
    if each < 0:
        return only_bytes
    if per_byte < 0:
        return max(float(sizes[:, 0] @ seconds / (sizes[:, 0] @ sizes[:, 0])), 0.0), 0.0
    return float(each), float(per_byte)


def _scaled(steps: Sequence[ProbedStep], width: int, rows: int) -> float:
    """Return the seconds of the chain ``width`` wide, as if it read `TYPICAL_BYTES`."""
    step = next((step for step in steps if (step.width, step.rows) == (width, rows)), None)
    if step is None:
        raise EdgedraftError(f"probe: {rows} rows were not timed {width} wide")
    return step.seconds * TYPICAL_BYTES / step.weight_bytes


def _disagreement(factors: Float64Array, others: Float64Array) -> float:
    """Return the median of half the log distances between v − 1 of two sources, without rows that cost nothing."""
    costly = (factors > 1) & (others > 1)
    return float(np.median(np.abs(np.log((factors - 1)[costly] / (others - 1)[costly]))) / 2) if costly.any() else 0.0


def scale_sigma(ones: Sequence[Timed]) -> float:
    """Return the median over one-row steps of the standard deviation of log seconds, computed from their quartiles."""
    return float(np.median([_log_sigma(step) for step in ones]))


def growth_sigma(steps: Sequence[Timed]) -> float:
    """Median over the steps of several rows of the standard deviation of log(v − 1) that their quartiles tell.

    d log(v − 1) = v/(v − 1) · d log v, with v a step's seconds against one row's of its size; 0 where rows are free.
    """
    one = {size: _one_row_seconds(steps, size) for size in {step.weight_bytes for step in steps if step.rows == 1}}
    sigmas = []
    for step in steps:
        cost = step.seconds / one[step.weight_bytes] if step.weight_bytes in one else 0.0
        if step.rows > 1 and cost > 1:
            sigmas.append(_log_sigma(step) * cost / (cost - 1))
    return float(np.median(sigmas)) if sigmas else 0.0


def _log_sigma(step: Timed) -> float:
    return float(np.log(step.seconds_high / step.seconds_low) / (2 * NORMAL_QUARTILE))


def _residual(ones: Sequence[StepTime], overhead: float, per_byte: float) -> float:
    """Return the root mean square error of one-row steps against the line, in logarithms."""
    missed = [np.log(step.seconds / (overhead + step.weight_bytes * per_byte)) for step in ones]
    return float(np.sqrt(np.mean(np.square(missed))))


def _fit_line(sizes: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """Return overhead and seconds per byte by least squares, neither negative."""
    if len(set(sizes)) == 1:
        return 0.0, float(np.median(seconds)) / sizes[0]
    slope, overhead = np.polyfit(np.asarray(sizes, dtype=np.float64), seconds, 1)
    if slope < 0:
        return float(np.mean(seconds)), 0.0
    if overhead < 0:
        x = np.asarray(sizes, dtype=np.float64)
        return 0.0, float(x @ np.asarray(seconds) / (x @ x))
    return float(overhead), float(slope)


def _ascending(factors: Sequence[float]) -> tuple[float, ...]:
    """More rows never take less in steps of whole models, whose passes are padded: what noise says is levelled."""
    return tuple(map(float, np.maximum.accumulate(factors)))


def _row_factor(steps: Sequence[StepTime], rows: int) -> float:
    """Return the median over model sizes of the seconds at ``rows`` rows divided by those at one row."""
    if rows == 1:
        return 1.0
    sizes = {step.weight_bytes for step in steps if step.rows == 1}
    one = {size: _one_row_seconds(steps, size) for size in sizes}
    ratios = [step.seconds / one[step.weight_bytes] for step in steps if step.rows == rows and step.weight_bytes in one]
    require(len(ratios) > 0, f"latency model: {rows} rows were timed on a model never timed with one row")
    return float(np.median(ratios))


def _one_row_seconds(steps: Sequence[Timed], weight_bytes: int) -> float:
    """Return the median seconds of the one-row steps of one model size."""
    return float(np.median([step.seconds for step in steps if step.rows == 1 and step.weight_bytes == weight_bytes]))
