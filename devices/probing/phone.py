"""The probe of a phone: the graphs that its browser times, and the profile that the posted times make."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedraft.devices.fitting import fit_probe
from edgedraft.devices.probing.cases import SMALLEST
from edgedraft.devices.probing.graphs import (
    FLOAT_PRODUCTS,
    FP16,
    FP32,
    INT4,
    INT8,
    INT8_DYNAMIC,
    GraphSpec,
    build_chain,
    require_onnx,
)
from edgedraft.devices.probing.posted import PostedDevice, PostedProbe, one_line, skipped_lines
from edgedraft.devices.probing.summing_up import Owner, profile_of
from edgedraft.devices.probing.timed import Circumstances, TimedStep, probe_of
from edgedraft.devices.profile import PHONE, DeviceProfile
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.files import sha256
from edgedraft.runtime.base.provider_names import WASM
from edgedraft.runtime.base.records import require


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeShape:
    """Chains, each a precision with a width, and how they are timed: ``rounds`` times with each number of ``rows``.

    ``weight_bytes`` is what one pass reads at least. Other chains take their turns between two passes of one, so that
    no cache holds it.
    """

    chains: tuple[tuple[str, int], ...]
    weight_bytes: int
    rows: tuple[int, ...]
    rounds: int


WHOLE = ProbeShape(
    chains=(
        *((precision, width) for precision in (INT4, INT8, INT8_DYNAMIC, FP32) for width in (1024, 2048)),
        (FP16, 2048),
    ),
    weight_bytes=14_000_000,
    rows=(1, 2, 3, 4, 5, 8, 16),
    rounds=7,
)
"""Nine chains and what their last products overshoot: below 150 MB to download."""

QUICK = ProbeShape(
    chains=((INT4, 1024), (INT4, 2048), (INT8, 2048), (FP32, 1024)),
    weight_bytes=3_000_000,
    rows=(1, 2, 4, 8),
    rounds=5,
)
"""For slow networks and slow GPUs. A large cache may hold a chain until its next turn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PhoneCase:
    """A graph to time, as a page gets it. One of no layers has next to nothing to do."""

    file: str
    bytes: int
    sha256: str
    precision: str
    width: int
    layers: int
    weight_bytes: int
    half: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PhoneProbe:
    """The work of a page: every case with every number of rows, ``rounds`` times, interleaved."""

    cases: tuple[PhoneCase, ...]
    rows: tuple[int, ...]
    rounds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Naming:
    """The user's name for the device, None for what its browser says, and of which kind it is."""

    name: str | None = None
    kind: str = PHONE


def write_phone_probe(folder: Path, prefix: str, shape: ProbeShape = WHOLE) -> PhoneProbe:
    """Write the graphs to ``folder``, the same bytes every time; a page finds them below ``prefix``.

    They hold operators that onnxruntime-web has for WebGPU and for WebAssembly, but for int8-dynamic's products, which
    WebGPU lacks.
    """
    require_onnx()
    smallest = _written(SMALLEST, folder, prefix, "overhead", empty=True)
    specs = [
        GraphSpec(precision=precision, width=width, weight_bytes=shape.weight_bytes, accuracy_level=FLOAT_PRODUCTS)
        for precision, width in shape.chains
    ]
    cases = [_written(spec, folder, prefix, f"{spec.precision}-{spec.width}") for spec in specs]
    return PhoneProbe(cases=(smallest, *cases), rows=shape.rows, rounds=shape.rounds)


def _written(spec: GraphSpec, folder: Path, prefix: str, name: str, *, empty: bool = False) -> PhoneCase:
    chain, path = build_chain(spec), folder / f"{name}.onnx"
    path.write_bytes(chain.graph)
    return PhoneCase(
        file=f"{prefix}{path.name}",
        bytes=len(chain.graph),
        sha256=sha256(path),
        precision=spec.precision,
        width=spec.width,
        layers=0 if empty else chain.layers,
        weight_bytes=0 if empty else chain.weight_bytes,
        half=spec.precision == FP16,
    )


def phone_profile(posted: PostedProbe, offered: PhoneProbe, naming: Naming) -> DeviceProfile:
    """Make the profile of the phone that posted; `EdgedraftError` at what was not offered or fits no latency model."""
    for i, step in enumerate(posted.steps):
        _check_offered(step, offered, f"results/probe: steps[{i}]")
    device = posted.device
    name = naming.name or one_line(device.name) or "phone"
    about = Circumstances(
        system=name,
        onnxruntime=one_line(posted.onnxruntime),
        date=posted.date,
        seconds=posted.seconds,
        skipped=skipped_lines(posted),
    )
    probe = probe_of(posted.steps, posted.overheads, about)
    fit_probe(probe)  # what cannot be planned with is refused now, while the phone is still there
    return profile_of(probe, _owner(name, naming.kind, device, _threads(posted.steps)))


def _check_offered(step: TimedStep, offered: PhoneProbe, where: str) -> None:
    key = (step.precision, step.width)
    case = next((case for case in offered.cases if case.layers > 0 and (case.precision, case.width) == key), None)
    if case is None:
        raise EdgedraftError(f"{where}: no such graph was offered", got=one_line(f"{step.precision}-{step.width}"))
    facts = case.layers, case.weight_bytes
    got = step.layers, step.weight_bytes
    require(got == facts, f"{where}: layers and weight_bytes: expected {facts[0]} and {facts[1]}", got=got)
    require(step.rows in offered.rows, f"{where}: rows: expected one of {offered.rows}", got=step.rows)


def _owner(name: str, kind: str, device: PostedDevice, threads: int | None) -> Owner:
    """Cores that decode best together are those that WebAssembly was timed with, where it was."""
    return Owner(
        name=name,
        kind=kind,
        cores=threads or device.cores,
        gigabytes=device.memory_gigabytes,
        source="edgedraft phone",
        cpu=f"{device.cores} cores in {one_line(device.user_agent)}",
        gpu=_gpu_words(device),
    )


def _gpu_words(device: PostedDevice) -> str:
    """Return the limits that bundles for it must keep to; nothing where there is no WebGPU."""
    if device.max_binding_bytes == 0:
        return ""
    half = "with" if device.shader_f16 else "without"
    limits = f"at most {device.max_binding_bytes / 2**20:.0f} MiB in a binding"
    where = ", in software" if device.software_adapter else ""
    return f"{one_line(device.adapter) or 'unnamed adapter'}{where}, {half} shader-f16, {limits}"


def _threads(steps: Sequence[TimedStep]) -> int | None:
    return next((step.threads for step in steps if step.provider == WASM), None)
