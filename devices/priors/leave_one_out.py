"""Leaving devices out: how far speeds fall from what the other devices predict, and the interval that follows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgedraft.devices.latency import NORMAL_80
from edgedraft.devices.priors.published import PublishedSpeed, devices_of
from edgedraft.devices.priors.speed_fitting import bandwidth_tests, fit_speeds
from edgedraft.devices.priors.speed_model import SpeedModel, case_of

_NORMAL_OVER_MEAN_ABSOLUTE = math.sqrt(math.pi / 2)
"""Standard deviation of a normal distribution in units of its mean absolute deviation."""
_POOL_DEVICES = 1
"""As how many devices the other classes count in a class's interval."""

Group = tuple[str, str]
"""Class and device."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowError:
    """A row and log(measured seconds / predicted seconds), predicted without its device."""

    speed: PublishedSpeed
    log_error: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedSpread:
    """The errors to expect for a new device, as standard deviations of logarithms.

    ``device_sigma`` is shared by all rows of the device, ``own_sigma`` a row's own. `NORMAL_80` times their root sum of
    squares reaches the ends of the 80 % interval, after Student's widening for the few ``devices`` they rest on.
    """

    device_sigma: float
    own_sigma: float
    rows: int
    devices: int

    @property
    def log_reach(self) -> float:
        """Half of the 80 % interval's width, as a logarithm."""
        return NORMAL_80 * math.hypot(self.device_sigma, self.own_sigma)


@dataclass(frozen=True, slots=True, eq=False)
class LeaveOneOut:
    """The rows of one backend, refitted without a device or two; every fit is made once."""

    speeds: tuple[PublishedSpeed, ...]
    _fits: dict[frozenset[str], SpeedModel] = field(default_factory=dict)

    def model(self, *devices: str) -> SpeedModel:
        """Return the fit without the decoding speeds of ``devices``; it may know their bandwidth tests."""
        key = frozenset(devices)
        if key not in self._fits:
            kept = [speed for speed in self.speeds if speed.device not in key]
            self._fits[key] = fit_speeds(kept, bandwidth_tests(self.speeds))
        return self._fits[key]

    def errors(self, device: str, *also: str) -> tuple[RowError, ...]:
        """Errors of ``device``'s rows, predicted without it and without the devices ``also``."""
        model = self.model(device, *also)
        rows = [speed for speed in self.speeds if speed.device == device]
        return tuple(
            RowError(speed=row, log_error=math.log(row.seconds / model.parts(case_of(row)).seconds)) for row in rows
        )

    def spread(self, name: str | None, *without: str) -> SpeedSpread:
        """Return the spread of class ``name`` (None: all rows as one class), without the devices ``without``."""
        groups: dict[Group, list[RowError]] = {}
        for device in devices_of(self.speeds):
            if device not in without:
                for error in self.errors(device, *without):
                    groups.setdefault((error.speed.name if name else "", device), []).append(error)
        own = [errors for (group, _), errors in groups.items() if group == (name or "")]
        others = [errors for (group, _), errors in groups.items() if group != (name or "")]
        return spread_of(_judged(own), _judged(others or own))


def _judged(groups: Sequence[Sequence[RowError]]) -> list[list[float]]:
    """Log errors by device, of strict rows where there are any, else of all."""
    strict = [[error.log_error for error in errors if error.speed.strict] for errors in groups]
    found = [errors for errors in strict if errors]
    return found or [[error.log_error for error in errors] for errors in groups]


def spread_of(own: Sequence[Sequence[float]], pool: Sequence[Sequence[float]]) -> SpeedSpread:
    """Return the spread of log errors by device: a class's own and, as one device more, the median of the ``pool``.

    Every device counts once, by its mean absolute error, which outliers move less than squares.
    """
    sizes = [float(np.mean(np.abs(errors))) for errors in own]
    typical = float(np.median([np.mean(np.abs(errors)) for errors in pool]))
    freedom = len(sizes) + _POOL_DEVICES
    sigma = _NORMAL_OVER_MEAN_ABSOLUTE * (sum(sizes) + _POOL_DEVICES * typical) / freedom
    sigma *= student_80(freedom) / NORMAL_80
    shared = _shared_share(own or pool)
    return SpeedSpread(
        device_sigma=sigma * math.sqrt(shared),
        own_sigma=sigma * math.sqrt(1 - shared),
        rows=sum(len(errors) for errors in own),
        devices=len(own),
    )


def _shared_share(groups: Sequence[Sequence[float]]) -> float:
    """Share of the squared errors that the rows of a device have in common."""
    whole = sum(float(np.mean(np.square(errors))) for errors in groups)
    shared = sum(float(np.mean(errors)) ** 2 for errors in groups)
    return min(shared / whole, 1.0) if whole > 0 else 1.0


def student_80(freedom: int) -> float:
    """90 % quantile of Student's t: minus to plus holds 80 %. Cornish and Fisher's expansion, 4 % low at 1."""
    z = NORMAL_80
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return float(sum(term / freedom**power for power, term in enumerate(terms)))


def by_backend(speeds: Sequence[PublishedSpeed], backends: Sequence[str]) -> Mapping[str, LeaveOneOut]:
    """Leave-one-out fits of each of ``backends`` that has rows."""
    rows = {backend: tuple(speed for speed in speeds if speed.backend == backend) for backend in backends}
    return {backend: LeaveOneOut(found) for backend, found in rows.items() if found}
