"""DeviceProfile: one device's figures, each with where it comes from and how sure it is."""

from dataclasses import dataclass

from edgedraft.runtime.records import require

LAPTOP, BOARD, PHONE = "laptop", "board", "phone"
KINDS = (LAPTOP, BOARD, PHONE)

MEASURED, VERIFIED, DERIVED, UNVERIFIED, ESTIMATE, CONFLICT = CERTAINTIES = (
    "measured",
    "verified",
    "derived",
    "unverified",
    "estimate",
    "conflict",
)
"""How sure a figure is, surest first; ``derived`` is data rate times bus width, ``conflict`` has sources that differ."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bandwidth:
    """Bytes of memory that can be read a second, in units of 1e9."""

    gigabytes_per_second: float
    certainty: str
    source: str

    def __post_init__(self) -> None:
        value = self.gigabytes_per_second
        require(0.5 <= value <= 10_000, "gigabytes_per_second: expected 0.5..10000", got=value)
        _check_certainty(self.certainty)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """A figure in words, such as a cache's size or a peak in operations a second."""

    value: str
    certainty: str
    source: str

    def __post_init__(self) -> None:
        _check_certainty(self.certainty)


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """What kind of memory; ``gigabytes`` are the sizes it is usually sold with. None where nobody says."""

    kind: str
    data_rate_megatransfers: float | None = None
    bus_bits: int | None = None
    gigabytes: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Bandwidths:
    """``peak`` is what the memory can give, ``cpu`` and ``gpu`` what these reach of it, None where nobody measured."""

    peak: Bandwidth
    cpu: Bandwidth | None = None
    gpu: Bandwidth | None = None

    def __post_init__(self) -> None:
        for name in ("cpu", "gpu"):
            reached: Bandwidth | None = getattr(self, name)
            below = reached is None or reached.gigabytes_per_second <= self.peak.gigabytes_per_second
            require(below, f"bandwidth.{name}: expected at most the peak", got=reached and reached.gigabytes_per_second)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbedStep:
    """Median and quartiles, in seconds, of a pass over ``rows`` rows through layers ``width`` wide."""

    provider: str
    precision: str
    threads: int
    width: int
    weight_bytes: int
    rows: int
    seconds: float
    seconds_low: float
    seconds_high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """What `edgedraft devices probe` measured; ``noise`` is the median quartile width over the median of its steps."""

    date: str
    system: str
    onnxruntime: str
    noise: float
    trusted: bool
    steps: tuple[ProbedStep, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceProfile:
    """A device. ``cores`` are those that decode best together (big ones on a phone), None where nobody says."""

    id: str
    name: str
    kind: str
    soc: str
    memory: Memory
    bandwidth: Bandwidths
    aliases: tuple[str, ...] = ()
    cores: int | None = None
    cache: Fact | None = None
    cpu: Fact | None = None
    gpu: Fact | None = None
    notes: str = ""
    probe: Probe | None = None

    def __post_init__(self) -> None:
        require(self.kind in KINDS, f"kind: expected one of {', '.join(KINDS)}", got=self.kind)
        require(self.cores is None or self.cores >= 1, "cores: expected 1 or more", got=self.cores)


def _check_certainty(value: str) -> None:
    require(value in CERTAINTIES, f"certainty: expected one of {', '.join(CERTAINTIES)}", got=value)
