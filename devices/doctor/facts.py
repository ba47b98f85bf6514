"""Records of an installation: its parts, and its problems."""

from dataclasses import dataclass

from edgedraft.runtime.native.library import KernelState


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderTrial:
    """A trial of a provider with a small graph; ``reason`` says why it does not run, if so."""

    name: str
    runs: bool
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """The machine as this process may use it. Bytes; None where the system does not say.

    ``memory_limit_bytes`` is the container's, ``huge_pages`` the kernel's policy (always, madvise or never).
    """

    machine: str
    cores: int
    usable_cores: int
    memory_bytes: int
    memory_free_bytes: int | None
    memory_limit_bytes: int | None
    huge_pages: str | None
    cache: str
    disk_free_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Packages:
    """Versions by distribution, None for those that are missing; ``extras`` names the missing ones of each extra.

    ``onnxruntimes`` are the distributions that own the folder ``onnxruntime``: one, where nothing is wrong.
    """

    python: str
    versions: dict[str, str | None]
    extras: dict[str, tuple[str, ...]]
    onnxruntimes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class InstallationProblem:
    """Something wrong, and the line that mends it."""

    what: str
    mend: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Examination:
    """All that was examined."""

    packages: Packages
    providers: tuple[ProviderTrial, ...]
    kernels: KernelState
    resources: Resources
    problems: tuple[InstallationProblem, ...]
