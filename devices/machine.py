"""Describe this machine: processor, cores, memory, system."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from edgedraft.runtime.base.cores import usable_cores

__all__ = ["Machine", "this_machine", "usable_cores"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """The machine on which a table was measured. ``cores`` are those this process may use."""

    processor: str
    cores: int
    memory_bytes: int
    system: str
    features: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return a readable description in one line."""
        gigabytes = self.memory_bytes / 2**30
        features = f" ({', '.join(self.features)})" if self.features else ""
        return f"{self.processor}{features}, {self.cores} cores, {gigabytes:.0f} GiB, {self.system}"


_SHOWN_FEATURES = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm", "sve")


def this_machine() -> Machine:
    """Return the machine that this process runs on."""
    processor, flags = _processor()
    return Machine(
        processor=processor,
        cores=usable_cores(),
        memory_bytes=_memory_bytes(),
        system=f"{platform.system()} {platform.machine()}",
        features=tuple(flag for flag in _SHOWN_FEATURES if flag in flags),
    )


def _memory_bytes() -> int:
    """Return the physical memory in bytes; psutil is needed only where the system does not report it."""
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    import psutil

    return int(psutil.virtual_memory().total)


def _processor() -> tuple[str, set[str]]:
    """Return model name and feature flags from the Linux kernel; on other systems the name alone."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor() or platform.machine(), set()
    fields = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    values = {key.strip(): value.strip() for key, value in fields.items()}
    name = values.get("model name") or values.get("Hardware") or platform.machine()
    return name, set((values.get("flags") or values.get("Features") or "").split())
