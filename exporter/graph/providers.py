"""The execution providers: whose latency to assume, how their graphs are prepared, and what they cannot run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgedraft.devices.profile import PHONE, DeviceProfile
from edgedraft.exporter.graph.precisions import TABLE
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import require

CPU, GPU = "cpu", "gpu"
TARGET, DRAFTER = "target", "drafter"

BINDING_BYTES = 128 * 2**20
"""The largest tensor that every WebGPU device can bind, although its buffers may be twice as large."""
DATA_FILE_BYTES = 10**9
"""A data file is fetched into one buffer, and pages may not have buffers of 2 GB on every phone."""
IPHONE_FILES_BYTES, PHONE_FILES_BYTES = 5 * 10**8, 10**9
"""The files that a page may load before the browser ends it, by experience: iPhones, and phones with 6 to 8 GB."""

_RUNTIME_BYTES = 3 * 10**8
_PAGE_SHARE = 0.5
_DYNAMIC = "int8-dynamic"


@dataclass(frozen=True, kw_only=True, slots=True)
class Provider:
    """An execution provider by the name users know.

    ``kind``: the processor whose latency prior is assumed for a device that was not probed (none for WebAssembly).
    ``accuracy_level``: set on its MatMulNBits nodes; None leaves them as packed. 1 multiplies in float, so that WebGPU,
    WebAssembly and CPU agree to the last bits in passes of any number of rows. 4 is faster, but rounds activations, and
    each provider does so in its own way.
    The limits are None where none is known; loading takes ``peak_factor`` times the files.
    ``even_blocks`` asks for token tables whose zero points fill whole bytes in each row, ``plain_tables`` for tables
    that plain operators read; see `token_table`.
    ``cautions``: warnings by precision, "" for all; ``refused``: target precisions that it would hand to the CPU, with
    the reason.
    """

    name: str
    kind: str
    accuracy_level: int | None = None
    largest_tensor_bytes: int | None = None
    data_file_bytes: int | None = None
    peak_factor: float | None = None
    even_blocks: bool = False
    plain_tables: bool = False
    cautions: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    def peak_bytes(self, file_bytes: int) -> int | None:
        """Return the memory that loading models of ``file_bytes`` takes, None where it was not measured."""
        return None if self.peak_factor is None else _RUNTIME_BYTES + round(self.peak_factor * file_bytes)


_NO_DYNAMIC = "has no kernel for DynamicQuantizeMatMul, and every product would go to the CPU and back"
_SLOW_BLOCKS = "has no kernel for packed blocks: a step takes about ten times that of fp32; int8-dynamic is faster"
_BLOCKS = tuple(name for name in TABLE if name not in ("fp32", _DYNAMIC))

_ALL = (
    # Bundles are for this machine and for a page alike: what WebAssembly and WebGPU cannot read is not written.
    Provider(name=CPU, kind=CPU, data_file_bytes=DATA_FILE_BYTES, plain_tables=True),
    Provider(name=GPU, kind=GPU),
    Provider(
        name="webgpu",
        kind=GPU,
        accuracy_level=1,
        largest_tensor_bytes=BINDING_BYTES,
        data_file_bytes=DATA_FILE_BYTES,
        peak_factor=1.8,
        even_blocks=True,
        cautions={_DYNAMIC: f"{_NO_DYNAMIC}; run the drafter on wasm"},
        refused={_DYNAMIC: _NO_DYNAMIC},
    ),
    Provider(
        name="wasm",
        kind=CPU,
        accuracy_level=1,
        data_file_bytes=DATA_FILE_BYTES,
        peak_factor=2.4,
        plain_tables=True,
        cautions=dict.fromkeys(_BLOCKS, _SLOW_BLOCKS),
    ),
    Provider(
        name="cuda",
        kind=GPU,
        cautions={
            "": "runs attention in half precision only: that of these graphs, which is float, stays on the CPU",
            _DYNAMIC: _NO_DYNAMIC,
        },
    ),
    Provider(
        name="coreml",
        kind=GPU,
        cautions={
            "": "takes products of float weights only, and leaves attention to the CPU",
            **dict.fromkeys((*_BLOCKS, _DYNAMIC), "leaves packed products to the CPU"),
        },
    ),
    Provider(
        name="qnn",
        kind=GPU,
        cautions={"": "takes graphs of fixed shapes with quantized activations: most of these graphs stays on the CPU"},
    ),
)
PROVIDERS: Mapping[str, Provider] = {each.name: each for each in _ALL}


def provider_named(name: str) -> Provider:
    """Return the provider called ``name``; a bundle may name one that this version does not know."""
    require(name in PROVIDERS, f"provider: expected one of {', '.join(PROVIDERS)}", got=name)
    return PROVIDERS[name]


def cautions(provider: Provider, precisions: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the cautions, a sentence each, for running these ``precisions`` by role on ``provider``.

    A target precision that the provider would hand to the CPU is refused.
    """
    sentences = [f"{provider.name} {provider.cautions['']}."] if "" in provider.cautions else []
    for role, names in precisions.items():
        for name in dict.fromkeys(names):
            if role == TARGET and name in provider.refused:
                rule = f"target precision {name}: {provider.name} {provider.refused[name]}"
                raise EdgedraftError(rule, remedy="choose int4, int8 or fp32")
            if name in provider.cautions:
                sentences.append(f"{role} {name}: {provider.name} {provider.cautions[name]}.")
    return tuple(sentences)


def check_tensor(provider: Provider, what: str, nbytes: int) -> None:
    """Refuse a weight that not every device of the provider can bind."""
    limit = provider.largest_tensor_bytes
    require(
        limit is None or nbytes <= limit,
        f"{what}: {provider.name} binds at most {(limit or 0) / 2**20:.0f} MiB as one tensor",
        got=f"{nbytes / 2**20:.1f} MiB",
        remedy="choose a precision of fewer bits, a model with fewer tokens or another provider",
    )


def files_limit(provider: Provider, profile: DeviceProfile) -> int | None:
    """Return the bytes of models that a page on the device may load; None outside of browsers."""
    if provider.peak_factor is None:
        return None
    limits = []
    if profile.kind == PHONE:
        limits.append(IPHONE_FILES_BYTES if "apple" in profile.soc.lower() else PHONE_FILES_BYTES)
    if profile.memory.gigabytes:
        free = _PAGE_SHARE * min(profile.memory.gigabytes) * 1e9 - _RUNTIME_BYTES
        limits.append(max(int(free / provider.peak_factor), 0))
    return min(limits, default=None)


def check_files(provider: Provider, profile: DeviceProfile, file_bytes: int) -> None:
    """Refuse models so large that the browser of the device would end the page."""
    limit, peak = files_limit(provider, profile), provider.peak_bytes(file_bytes)
    if limit is not None and peak is not None:
        require(
            file_bytes <= limit,
            f"{profile.name}: a page there should load at most {limit / 1e6:.0f} MB of models with {provider.name}",
            got=f"{file_bytes / 1e6:.0f} MB, {peak / 1e9:.1f} GB while they load",
            remedy="choose a precision of fewer bits, smaller models or another device",
        )
