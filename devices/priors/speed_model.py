"""SpeedModel: one formula for the decoding speeds of all devices, with effects that classes of devices share.

``seconds = c + hypot(bytes / (alpha · peak), parameters · k / threads)``: a fixed time, memory that streams the
weights, and a processor that unpacks and multiplies them meanwhile (no such term on a GPU). log c, log(1/alpha) and
log k are sums of effects: a general one and one for each class the device belongs to, each drawn towards its belief.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from edgedraft.devices.priors.published import CPU, PublishedSpeed

Effect = tuple[str, str]
"""Kind and class, such as ("stream hardware", "apple")."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Belief:
    """The belief about an effect before any row is read: mean and standard deviation of a logarithm."""

    mean: float = 0.0
    sigma: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Assumptions:
    """The assumptions of a fit; sigmas are of logarithms.

    ``row_sigma`` is the scatter of a device's rows (twice that where bytes are an estimate), ``bandwidth_sigma`` how
    far a bandwidth test stands from what decoding reaches.
    """

    beliefs: Mapping[str, Belief]
    row_sigma: float
    bandwidth_sigma: float


# The two class sigmas of "stream" are those, of 0.10 to 0.18 and 0.10 to 0.30, with the least mean error over left-out
# devices; the others are round. Halving or doubling any one sigma moves that error by less than a tenth.
_GPU = Assumptions(
    beliefs={
        "stream any": Belief(mean=-math.log(0.75), sigma=0.3),
        "stream hardware": Belief(sigma=0.15),
        "stream device": Belief(sigma=0.14),
        "overhead any": Belief(mean=math.log(5e-3), sigma=1.0),
        "overhead software": Belief(sigma=1.0),
    },
    row_sigma=0.07,
    bandwidth_sigma=0.12,
)
_CPU = Assumptions(
    beliefs={
        "stream any": Belief(mean=-math.log(0.7), sigma=0.3),
        "stream device": Belief(sigma=0.3),
        "overhead any": Belief(mean=math.log(2e-3), sigma=0.5),
        "compute any": Belief(mean=math.log(0.05e-9), sigma=1.0),
        "compute hardware": Belief(sigma=1.0),
        "compute software": Belief(sigma=0.5),
        "compute packing": Belief(sigma=0.5),
        "compute device": Belief(sigma=0.3),
    },
    row_sigma=0.12,
    bandwidth_sigma=0.12,
)


def assumptions_of(backend: str) -> Assumptions:
    """Return the settings of one backend's fit."""
    return _CPU if backend == CPU else _GPU


@dataclass(frozen=True, kw_only=True, slots=True)
class Classes:
    """The classes of a device and an engine. None is a class that nobody published: it has no effect."""

    device: str
    hardware: str | None = None
    software: str | None = None
    packing: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedCase:
    """All that a prediction depends on."""

    classes: Classes
    streamed_bytes: float
    parameters: float
    threads: int
    peak_bytes_per_second: float


def case_of(speed: PublishedSpeed) -> SpeedCase:
    """Return the case that a published speed answers."""
    return SpeedCase(
        classes=classes_of(speed),
        streamed_bytes=speed.streamed_bytes,
        parameters=speed.parameters,
        threads=speed.threads or 1,
        peak_bytes_per_second=speed.peak_gigabytes_per_second * 1e9,
    )


def classes_of(speed: PublishedSpeed) -> Classes:
    """Return the classes that a published speed tells about."""
    return Classes(device=speed.device, hardware=speed.hardware, software=speed.software, packing=speed.packing)


@dataclass(frozen=True, kw_only=True, slots=True)
class PassSeconds:
    """Seconds of one pass by what takes them; streaming and computing overlap."""

    overhead: float
    streaming: float
    computing: float

    @property
    def seconds(self) -> float:
        """c + hypot(streaming, computing)."""
        return self.overhead + math.hypot(self.streaming, self.computing)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SpeedModel:
    """Fitted effects of one backend; an effect that no row shows is at its belief's mean."""

    beliefs: Mapping[str, Belief]
    effects: Mapping[Effect, float]

    def parts(self, case: SpeedCase) -> PassSeconds:
        """Predict ``case``."""
        compute = "compute any" in self.beliefs
        return PassSeconds(
            overhead=self._scale("overhead", case),
            streaming=self._scale("stream", case) * case.streamed_bytes / case.peak_bytes_per_second,
            computing=self._scale("compute", case) * case.parameters / case.threads if compute else 0.0,
        )

    def _scale(self, quantity: str, case: SpeedCase) -> float:
        effects = effects_of(quantity, case.classes, self.beliefs)
        return math.exp(sum(self.effects.get(effect, self.beliefs[effect[0]].mean) for effect in effects))


def effects_of(quantity: str, classes: Classes, beliefs: Mapping[str, Belief]) -> list[Effect]:
    """Return the effects whose sum is the logarithm of ``quantity``: stream (1/alpha), overhead (c) or compute (k)."""
    levels = {
        "any": "",
        "hardware": classes.hardware,
        "software": classes.software,
        "packing": classes.packing,
        "device": classes.device,
    }
    named = [(f"{quantity} {level}", name) for level, name in levels.items() if name is not None]
    return [(kind, name) for kind, name in named if kind in beliefs]
