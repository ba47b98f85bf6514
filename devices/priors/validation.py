"""Validation: errors on published speeds, each device predicted from the others, and why a target is missed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgedraft.devices.priors.leave_one_out import LeaveOneOut, RowError, by_backend
from edgedraft.devices.priors.published import CPU, GPU, PublishedSpeed, devices_of

MEDIAN_TARGET = 0.10
NINTH_DECILE_TARGET = 0.30
HOLDS_TARGET = (0.70, 0.90)
LEAST_ROWS = 5
"""Classes with fewer strict rows are not judged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassErrors:
    """Errors of a class's strict rows, |predicted / measured tokens per second − 1|, each predicted without its device.

    ``holds`` is the share of rows inside their 80 % interval. ``shape_error`` is the median error left when every
    device's own mean error is taken out: what the formula's shape misses where the device's scale is known. ``reason``
    says why a target is missed, and is empty where none is.
    """

    name: str
    rows: int
    devices: int
    median_error: float
    ninth_decile_error: float
    holds: float
    shape_error: float
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedRow:
    """A row's error and half the width of its interval, both logarithms."""

    error: RowError
    log_reach: float

    @property
    def relative(self) -> float:
        """|predicted / measured tokens per second − 1|."""
        return abs(math.expm1(self.error.log_error))

    @property
    def held(self) -> bool:
        """Return whether the measured time is inside the interval."""
        return abs(self.error.log_error) <= self.log_reach


def validate(speeds: Sequence[PublishedSpeed]) -> tuple[ClassErrors, ...]:
    """Return leave-one-device-out errors of all rows, and of each class with `LEAST_ROWS` strict rows or more.

    Rows that are not strict help to fit but are not judged.
    """
    return class_errors(judged_rows(speeds))


def judged_rows(speeds: Sequence[PublishedSpeed]) -> dict[str, list[JudgedRow]]:
    """Return the strict rows of each backend with their errors and intervals, each predicted without its device."""
    return {backend: _judge(rest) for backend, rest in by_backend(speeds, (GPU, CPU)).items()}


def class_errors(by_backend: Mapping[str, Sequence[JudgedRow]]) -> tuple[ClassErrors, ...]:
    """Summarize judged rows as `validate` does."""
    found: list[ClassErrors] = []
    for backend, judged in by_backend.items():
        names = sorted({row.error.speed.name for row in judged})
        classes = {name: [row for row in judged if row.error.speed.name == name] for name in names}
        found += [_summary(name, rows) for name, rows in classes.items() if len(rows) >= LEAST_ROWS]
        if judged:
            found.append(_summary(f"{backend.upper()} total", judged))
    return tuple(found)


def error_table(classes: Sequence[ClassErrors]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return header and rows as text for printing."""
    header = (
        "class",
        "rows",
        "devices",
        "median error",
        "90th percentile",
        "80 % interval holds",
        "bytes alone",
        "target",
    )
    return header, tuple(_texts(errors) for errors in classes)


def _judge(leave_one_out: LeaveOneOut) -> list[JudgedRow]:
    """Every strict row with the interval that its class has without its device."""
    judged = []
    for device in devices_of(speed for speed in leave_one_out.speeds if speed.strict):
        errors = [error for error in leave_one_out.errors(device) if error.speed.strict]
        reach = {name: leave_one_out.spread(name, device).log_reach for name in {error.speed.name for error in errors}}
        judged += [JudgedRow(error=error, log_reach=reach[error.speed.name]) for error in errors]
    return judged


def _summary(name: str, rows: Sequence[JudgedRow]) -> ClassErrors:
    relative = [row.relative for row in rows]
    median, ninth = float(np.median(relative)), float(np.quantile(relative, 0.9))
    holds = float(np.mean([row.held for row in rows]))
    return ClassErrors(
        name=name,
        rows=len(rows),
        devices=len({row.error.speed.device for row in rows}),
        median_error=median,
        ninth_decile_error=ninth,
        holds=holds,
        shape_error=_shape_error(rows),
        reason=_reason(rows, median, ninth, holds),
    )


def _shape_error(rows: Sequence[JudgedRow]) -> float:
    """Median error after taking out each device's mean error in each class."""
    left: list[float] = []
    for errors in _by_device(rows).values():
        left += [abs(math.expm1(error - float(np.mean(errors)))) for error in errors]
    return float(np.median(left))


def _by_device(rows: Sequence[JudgedRow]) -> dict[tuple[str, str], list[float]]:
    """Return the log errors by class and device."""
    groups: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        groups.setdefault((row.error.speed.name, row.error.speed.device), []).append(row.error.log_error)
    return groups


def _reason(rows: Sequence[JudgedRow], median: float, ninth: float, holds: float) -> str:
    """Why the class misses a target, from its own rows; shares are compared as printed, in whole percents."""
    parts = []
    if median > MEDIAN_TARGET or ninth > NINTH_DECILE_TARGET:
        speeds = [row.error.speed for row in rows]
        parts += [_between_devices(rows), _at_equal_bytes(speeds), _repeats(speeds)]
    if not HOLDS_TARGET[0] <= round(holds, 2) <= HOLDS_TARGET[1]:
        parts.append(_together(rows))
    return "; ".join(part for part in parts if part)


def _between_devices(rows: Sequence[JudgedRow]) -> str:
    """Return a sentence that names the device furthest from its prediction, and its row."""
    groups = _by_device(rows)
    (_, device), errors = max(groups.items(), key=lambda item: abs(float(np.mean(item[1]))))
    worst = max(rows, key=lambda row: abs(row.error.log_error)).error
    return (
        f"{device} takes {math.exp(float(np.mean(errors))):.2f} times what the other devices predict; worst row: "
        f"{worst.speed.format} by {worst.speed.runtime} on {worst.speed.device}, {math.exp(worst.log_error):.2f} times"
    )


def _at_equal_bytes(speeds: Sequence[PublishedSpeed]) -> str:
    """Say how far devices are apart in the share of their peak that they reach with one and the same file."""
    best: dict[tuple[str, str], dict[str, float]] = {}
    for speed in speeds:
        share = speed.streamed_bytes / speed.seconds / 1e9 / speed.peak_gigabytes_per_second
        shares = best.setdefault((speed.model, speed.format), {})
        shares[speed.device] = max(share, shares.get(speed.device, 0.0))
    (model, form), shares = max(best.items(), key=lambda item: len(item[1]))
    if len(shares) == 1:
        return "no file was published for two devices"
    ends = f"{min(shares.values()):.0%} to {max(shares.values()):.0%}"
    return f"with {model} {form} {len(shares)} devices reach {ends} of their peak bandwidth"


def _repeats(speeds: Sequence[PublishedSpeed]) -> str:
    """Say the largest spread of speeds of one file on one device: no model of bytes can get below it."""
    groups: dict[tuple[object, ...], list[PublishedSpeed]] = {}
    for speed in speeds:
        key = (speed.device, speed.model, speed.format, speed.weight_bytes, speed.threads)
        groups.setdefault(key, []).append(speed)
    repeated = [group for group in groups.values() if len(group) > 1]
    if not repeated:
        return ""
    widest = max(repeated, key=_range)
    name = f"{widest[0].model} {widest[0].format} on {widest[0].device}"
    return f"the same file was measured {len(widest)} times {_range(widest):.2f}-fold apart ({name})"


def _range(group: Sequence[PublishedSpeed]) -> float:
    """Return the fastest speed divided by the slowest."""
    return max(speed.tokens_per_second for speed in group) / min(speed.tokens_per_second for speed in group)


def _together(rows: Sequence[JudgedRow]) -> str:
    """Why the share of rows held says little: rows of one device are wrong together."""
    held = sum(row.held for row in rows)
    devices = {row.error.speed.device for row in rows}
    whole = [device for device in devices if len({row.held for row in rows if row.error.speed.device == device}) == 1]
    return (
        f"the interval holds {held} of {len(rows)} rows, and all or none of the rows of {len(whole)} of {len(devices)} "
        f"device{'s' * (len(devices) != 1)}: rows of one device err together"
    )


def _texts(errors: ClassErrors) -> tuple[str, ...]:
    return (
        errors.name,
        f"{errors.rows}",
        f"{errors.devices}",
        f"{errors.median_error:.1%}",
        f"{errors.ninth_decile_error:.1%}",
        f"{errors.holds:.0%}",
        f"{errors.shape_error:.1%}",
        "missed" if errors.reason else "met",
    )
