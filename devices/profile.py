"""DeviceProfile: one device's figures, each with where it comes from and how sure it is."""

from dataclasses import dataclass

from edgedraft.runtime.base.kernel_names import NOT_RECORDED, require_kernel_name
from edgedraft.runtime.base.records import require

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
"""Words for how sure a figure is, surest first: ``derived`` from printed figures, ``conflict`` if sources differ."""

PEAK_TOLERANCE = 0.05
"""Largest distance, as a share, of a peak from data rate times bus width: makers round."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bandwidth:
    """Bytes of memory that can be read a second, in units of 1e9."""

    gigabytes_per_second: float
    certainty: str
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """A figure in words, such as a cache's size or a peak in operations a second."""

    value: str
    certainty: str
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """A kind of memory; ``gigabytes`` are the sizes it is usually sold with. None if unknown."""

    kind: str
    data_rate_megatransfers: float | None = None
    bus_bits: int | None = None
    gigabytes: tuple[float, ...] = ()

    @property
    def derived_gigabytes_per_second(self) -> float | None:
        """Data rate times bus width, None where one of them is not known."""
        if self.data_rate_megatransfers is None or self.bus_bits is None:
            return None
        return self.data_rate_megatransfers * self.bus_bits / 8000


@dataclass(frozen=True, kw_only=True, slots=True)
class Bandwidths:
    """``peak`` is what the memory can give, ``cpu`` and ``gpu`` what these reach of it, None where nobody measured."""

    peak: Bandwidth
    cpu: Bandwidth | None = None
    gpu: Bandwidth | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainPass:
    """A pass over ``rows`` rows through ``layers`` products ``width`` wide, which read ``weight_bytes``.

    ``kernels`` names those that computed the products.
    """

    provider: str
    precision: str
    threads: int
    width: int
    layers: int
    weight_bytes: int
    rows: int
    kernels: str = NOT_RECORDED


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbedStep(ChainPass):
    """Median and quartiles of a pass, in seconds."""

    seconds: float
    seconds_low: float
    seconds_high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbedBandwidth:
    """Median and quartiles of the bytes that ``threads`` threads of the CPU read a second, in units of 1e9."""

    threads: int
    gigabytes_per_second: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbedOverhead:
    """Median and quartiles, in seconds, of a pass that has next to nothing to do."""

    provider: str
    seconds: float
    seconds_low: float
    seconds_high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """The measurements of `edgedraft devices probe`.

    ``noise`` is the median, over its steps, of the quartile width over the median; ``drift`` how far the last third of
    ``rounds`` is from the first. ``skipped`` are the providers that could not run, each with the reason.
    """

    date: str
    system: str
    onnxruntime: str
    noise: float
    trusted: bool
    steps: tuple[ProbedStep, ...]
    drift: float = 0.0
    rounds: int = 1
    seconds: float = 0.0
    bandwidths: tuple[ProbedBandwidth, ...] = ()
    overheads: tuple[ProbedOverhead, ...] = ()
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceProfile:
    """A device. ``cores`` are those that decode best together (big ones on a phone), None if unknown.

    All figures are checked here, not in the records inside, so that an error can name the whole path of its key.
    """

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
        for key, text in (("id", self.id), ("name", self.name)):
            require(bool(text.strip()), f"{key}: expected a name", got=repr(text))
        require(self.kind in KINDS, f"kind: expected one of {', '.join(KINDS)}", got=self.kind)
        require(self.cores is None or self.cores >= 1, "cores: expected 1 or more", got=self.cores)
        for key in ("cache", "cpu", "gpu"):
            _check_sourced(getattr(self, key), key)
        _check_memory(self.memory)
        _check_bandwidths(self.bandwidth)
        _check_peak(self.bandwidth.peak.gigabytes_per_second, self.memory)
        if self.probe is not None:
            _check_probe(self.probe)


def _check_sourced(figure: Bandwidth | Fact | None, key: str) -> None:
    """Every figure says how sure it is and who says so."""
    if figure is None:
        return
    certain = figure.certainty in CERTAINTIES
    require(certain, f"{key}: certainty: expected one of {', '.join(CERTAINTIES)}", got=figure.certainty)
    sourced = bool(figure.source.strip())
    require(sourced, f"{key}: source: expected where the figure comes from", got=repr(figure.source))


def _check_memory(memory: Memory) -> None:
    _check_range(memory.data_rate_megatransfers, 100, 50_000, "memory: data_rate_megatransfers")
    _check_range(memory.bus_bits, 8, 8192, "memory: bus_bits")
    for i, size in enumerate(memory.gigabytes):
        _check_range(size, 0.1, 10_000, f"memory: gigabytes[{i}]")


def _check_bandwidths(bandwidths: Bandwidths) -> None:
    peak = bandwidths.peak.gigabytes_per_second
    for name in ("peak", "cpu", "gpu"):
        figure: Bandwidth | None = getattr(bandwidths, name)
        if figure is None:
            continue
        key, value = f"bandwidth: {name}", figure.gigabytes_per_second
        _check_range(value, 0.01, 10_000, f"{key}: gigabytes_per_second")
        require(value <= peak, f"{key}: gigabytes_per_second: expected at most the peak, {peak:g}", got=value)
        _check_sourced(figure, key)


def _check_peak(peak: float, memory: Memory) -> None:
    """Require a peak that its memory can give, but for a maker's rounding."""
    derived = memory.derived_gigabytes_per_second
    if derived is None:
        return
    rule = (
        f"bandwidth: peak: gigabytes_per_second: expected {derived:.4g} within {PEAK_TOLERANCE:.0%}, "
        f"for {memory.data_rate_megatransfers:g} megatransfers a second over {memory.bus_bits} bits"
    )
    remedy = "correct the peak, memory.data_rate_megatransfers or memory.bus_bits"
    require(abs(peak / derived - 1) <= PEAK_TOLERANCE, rule, got=peak, remedy=remedy)


def _check_probe(probe: Probe) -> None:
    require(probe.noise >= 0, "probe: noise: expected 0 or more", got=probe.noise)
    for i, step in enumerate(probe.steps):
        for name in ("threads", "width", "layers", "weight_bytes", "rows"):
            count = getattr(step, name)
            require(count >= 1, f"probe: steps[{i}]: {name}: expected 1 or more", got=count)
        require_kernel_name(step.kernels, f"probe: steps[{i}]: kernels")
        spread = (step.seconds_low, step.seconds, step.seconds_high)
        rule = f"probe: steps[{i}]: expected 0 < seconds_low <= seconds <= seconds_high"
        require(0 < spread[0] <= spread[1] <= spread[2] < float("inf"), rule, got=spread)


def _check_range(value: float | None, low: float, high: float, key: str) -> None:
    require(value is None or low <= value <= high, f"{key}: expected {low:g}..{high:g}", got=value)
