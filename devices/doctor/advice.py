"""Find what is wrong in the facts, and the line that mends each."""

from collections.abc import Sequence

from edgedraft.devices.doctor.facts import InstallationProblem, Packages, ProviderTrial, Resources
from edgedraft.runtime.base.provider_names import CPU
from edgedraft.runtime.native.library import KernelState

_PLAIN = "onnxruntime"
_GIB = 2**30
_LEAST_MEMORY, _LEAST_DISK = 2 * _GIB, 2 * _GIB


def problems_of(
    packages: Packages, providers: Sequence[ProviderTrial], kernels: KernelState, resources: Resources
) -> tuple[InstallationProblem, ...]:
    """Return every problem, the gravest first. Pure: it looks only at what is given."""
    found = [
        *_clash(packages),
        *_missing(packages),
        *_silent_providers(providers),
        *_kernels(kernels),
        *_scarce(resources),
    ]
    return tuple(found)


def _clash(packages: Packages) -> list[InstallationProblem]:
    """Several flavours write into one folder: what is in it is a mixture, and the CPU often runs in silence."""
    names = packages.onnxruntimes
    if len(names) < 2:
        return []
    kept = next(name for name in names if name != _PLAIN)
    mend = f"pip uninstall -y {' '.join(names)} && pip install {kept}"
    return [
        InstallationProblem(
            what=f"{' and '.join(names)} share one folder: each overwrites the other's files", mend=mend
        )
    ]


def _missing(packages: Packages) -> list[InstallationProblem]:
    missing = [name for name in packages.extras.get("", ()) if not (name == _PLAIN and packages.onnxruntimes)]
    return [InstallationProblem(what=f"{name} is not installed", mend=f"pip install {name}") for name in missing]


def _silent_providers(providers: Sequence[ProviderTrial]) -> list[InstallationProblem]:
    """Only the CPU must run; onnxruntime lists others wherever it was built with them."""
    broken = [trial for trial in providers if trial.name == CPU and not trial.runs]
    mend = "pip install --force-reinstall onnxruntime"
    return [InstallationProblem(what=f"the CPU provider does not run: {trial.reason}", mend=mend) for trial in broken]


def _kernels(kernels: KernelState) -> list[InstallationProblem]:
    if kernels.library is not None:
        return []
    what = "own kernels were not built: int4 and int8 models run slower, and not in exact mode"
    return [
        InstallationProblem(
            what=what, mend="install a C++ compiler (apt install g++), then pip install edgedraft again"
        )
    ]


def _scarce(resources: Resources) -> list[InstallationProblem]:
    found = []
    memory = min(
        each for each in (resources.memory_free_bytes, resources.memory_limit_bytes, resources.memory_bytes) if each
    )
    if memory < _LEAST_MEMORY:
        what = f"{memory / _GIB:.1f} GiB of memory are free: a pair of small models in int4 needs about 2"
        found.append(InstallationProblem(what=what, mend="close other programs, or raise the container's limit"))
    if resources.disk_free_bytes < _LEAST_DISK:
        what = f"{resources.disk_free_bytes / _GIB:.1f} GiB of disk are free at {resources.cache}"
        found.append(
            InstallationProblem(what=what, mend="free some, or set EDGEDRAFT_CACHE to a folder on another disk")
        )
    if resources.huge_pages == "never":
        mend = "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled"
        found.append(InstallationProblem(what="huge pages are off: passes over large weights are slower", mend=mend))
    return found
