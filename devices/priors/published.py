"""PublishedSpeed: decoding speeds that people published, one record a row, each with its source."""

import csv
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgedraft.runtime.base.errors import EdgedraftError, naming
from edgedraft.runtime.base.records import from_plain, require

CPU, GPU, NPU = BACKENDS = ("cpu", "gpu", "npu")
PACKINGS = ("4-bit", "8-bit", "16-bit", "k-quant", "i-quant")
_ENGINES = (
    ("ik_llama", "ik_llama.cpp"),
    *((word, "llama.cpp") for word in ("llama.cpp", "ollama")),
    *((word.lower(), word) for word in ("OpenVINO", "MLX", "MLC-LLM", "MNN", "LiteRT-LM", "T-MAC", "vLLM")),
)
"""Words in the names of runtimes, and the engines that they are; the first that fits counts."""
SHIPPED = Path(__file__).parent / "shipped" / "speeds.csv"


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedSpeed:
    """One published decoding speed; `shipped/README.md` says what each field means and how bytes are known.

    ``context_bytes`` are the keys and values read beside the weights, ``threads`` those of a processor, None elsewhere.
    ``reached_gigabytes_per_second`` is what a bandwidth test reached on this backend, None where it was not measured.
    """

    device: str
    backend: str
    hardware: str
    software: str
    runtime: str
    model: str
    format: str
    packing: str
    parameters: int
    weight_bytes: int
    context_bytes: int
    tokens_per_second: float
    threads: int | None
    peak_gigabytes_per_second: float
    reached_gigabytes_per_second: float | None
    strict: bool
    bytes_known: bool
    bytes_basis: str
    source: str
    note: str = ""

    def __post_init__(self) -> None:
        require(self.backend in BACKENDS, f"backend: expected one of {', '.join(BACKENDS)}", got=self.backend)
        require(self.packing in PACKINGS, f"packing: expected one of {', '.join(PACKINGS)}", got=self.packing)
        require(self.parameters > 0, "parameters: expected 1 or more", got=self.parameters)
        require(self.weight_bytes > 0, "weight_bytes: expected 1 or more", got=self.weight_bytes)
        require(self.context_bytes >= 0, "context_bytes: expected 0 or more", got=self.context_bytes)
        require(self.tokens_per_second > 0, "tokens_per_second: expected above 0", got=self.tokens_per_second)
        require(
            (self.threads is not None) == (self.backend == CPU), "threads: expected for cpu alone", got=self.threads
        )
        require(self.threads is None or self.threads >= 1, "threads: expected 1 or more", got=self.threads)
        peak, reached = self.peak_gigabytes_per_second, self.reached_gigabytes_per_second
        require(0.5 <= peak <= 10_000, "peak_gigabytes_per_second: expected 0.5..10000", got=peak)
        below = reached is None or 0 < reached <= peak
        require(below, "reached_gigabytes_per_second: expected above 0 and at most the peak", got=reached)
        require(bool(self.source), "source: expected a place where the speed was published")

    @property
    def streamed_bytes(self) -> int:
        """Return the bytes read for one token: weights, keys and values."""
        return self.weight_bytes + self.context_bytes

    @property
    def seconds(self) -> float:
        """Return the seconds of one token."""
        return 1 / self.tokens_per_second

    @property
    def engine(self) -> str:
        """The family of the runtime: builds, forks and front ends of one engine are one.

        An unknown runtime is a family of its own.
        """
        known = (family for word, family in _ENGINES if word in self.runtime.lower())
        return next(known, self.runtime)

    @property
    def name(self) -> str:
        """The class whose rows are judged together: software on a processor, hardware and software elsewhere."""
        return (
            f"CPU {self.software}" if self.backend == CPU else f"{self.backend.upper()} {self.hardware} {self.software}"
        )


def read_speeds(path: Path = SHIPPED) -> tuple[PublishedSpeed, ...]:
    """Return the rows of ``path``; errors name file, line and field."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        speeds = tuple(_speed(row, f"{path.name}: line {reader.line_num}") for row in reader)
    require(len(speeds) > 0, f"{path.name}: expected one row or more", got=0)
    return speeds


@functools.cache
def shipped_speeds() -> tuple[PublishedSpeed, ...]:
    """Return the speeds that come with the package."""
    return read_speeds(SHIPPED)


def devices_of(speeds: Iterable[PublishedSpeed]) -> tuple[str, ...]:
    """Return the devices' ids, sorted."""
    return tuple(sorted({speed.device for speed in speeds}))


_NUMBERS = {
    "parameters": int,
    "weight_bytes": int,
    "context_bytes": int,
    "threads": int,
    "tokens_per_second": float,
    "peak_gigabytes_per_second": float,
    "reached_gigabytes_per_second": float,
}
_TRUTHS = ("strict", "bytes_known")
_OPTIONAL = ("threads", "reached_gigabytes_per_second")


def _speed(row: Mapping[str | None, str | None], where: str) -> PublishedSpeed:
    require(None not in row and None not in row.values(), f"{where}: expected as many fields as the first line has")
    values = {str(name): _value(str(name), str(text), where) for name, text in row.items()}
    with naming(where):
        return from_plain(PublishedSpeed, values, where)


def _value(name: str, text: str, where: str) -> object:
    """Convert a field's text to the number or truth it stands for."""
    if name in _TRUTHS:
        require(text in ("yes", "no"), f"{where}: {name}: expected yes or no", got=text)
        return text == "yes"
    if name not in _NUMBERS:
        return text
    if not text and name in _OPTIONAL:
        return None
    try:
        return _NUMBERS[name](text)
    except ValueError as error:
        raise EdgedraftError(f"{where}: {name}: expected a number", got=repr(text)) from error
