"""Describe this machine: processor, cores, memory, system."""

import ctypes
import importlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


_WINDOWS, _MACOS = "Windows", "Darwin"
_PROCESSOR_KEY = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
_LONGEST_NAME = 256
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


class _MemoryStatus(ctypes.Structure):
    """The Windows structure MEMORYSTATUSEX; sizes are in bytes."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("others", ctypes.c_uint64 * 6),
    )


def _memory_bytes() -> int:
    """Return the physical memory in bytes."""
    if platform.system() != _WINDOWS:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    status, libraries = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus)), getattr(ctypes, "windll")  # noqa: B009
    done = libraries.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status.total) if done else 0


def _windows_processor() -> str:
    """Return the processor's name from the registry; `platform.processor` gives family and stepping only."""
    registry: Any = importlib.import_module("winreg")
    try:
        with registry.OpenKey(registry.HKEY_LOCAL_MACHINE, _PROCESSOR_KEY) as key:
            return " ".join(str(registry.QueryValueEx(key, "ProcessorNameString")[0]).split())
    except OSError:
        return ""


def _macos_processor() -> str:
    """Return the processor's name from the kernel; `platform.processor` gives the architecture only."""
    name = ctypes.create_string_buffer(_LONGEST_NAME)
    size, library = ctypes.c_size_t(_LONGEST_NAME), ctypes.CDLL(None)
    failed = library.sysctlbyname(b"machdep.cpu.brand_string", name, ctypes.byref(size), None, ctypes.c_size_t(0))
    return "" if failed else name.value.decode(errors="replace")


def _processor() -> tuple[str, set[str]]:
    """Return model name and feature flags from the Linux kernel; on other systems the name alone."""
    known = {_WINDOWS: _windows_processor, _MACOS: _macos_processor}.get(platform.system())
    path = Path("/proc/cpuinfo")
    if known or not path.exists():
        name = known() if known else ""
        return name or platform.processor() or platform.machine(), set()
    fields = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    values = {key.strip(): value.strip() for key, value in fields.items()}
    name = values.get("model name") or values.get("Hardware") or platform.machine()
    return name, set((values.get("flags") or values.get("Features") or "").split())
