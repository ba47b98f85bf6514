"""Cores, memory, huge pages and disk as this process may use them; ``root`` is the root of the file system."""

import os
import shutil
from pathlib import Path

from edgedraft.devices.doctor.facts import Resources
from edgedraft.devices.machine import this_machine
from edgedraft.runtime.base.cores import usable_cores
from edgedraft.runtime.base.user_folders import user_cache

_LIMITS = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")
_HUGE = "sys/kernel/mm/transparent_hugepage/enabled"


def examined_resources(root: Path = Path("/")) -> Resources:
    """Read what the system says of itself."""
    machine = this_machine()
    cache = user_cache()
    return Resources(
        machine=machine.name,
        cores=os.cpu_count() or 1,
        usable_cores=usable_cores(root),
        memory_bytes=machine.memory_bytes,
        memory_free_bytes=_free_memory(root),
        memory_limit_bytes=_memory_limit(root, machine.memory_bytes),
        huge_pages=_huge_pages(root),
        cache=str(cache),
        disk_free_bytes=shutil.disk_usage(next(each for each in (cache, *cache.parents) if each.exists())).free,
    )


def _free_memory(root: Path) -> int | None:
    for line in _text(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return None


def _memory_limit(root: Path, memory_bytes: int) -> int | None:
    """Return the container's limit; version 1 of control groups writes none as a number above any memory."""
    limits = [int(text) for name in _LIMITS if (text := _text(root / name).strip()).isdecimal()]
    return min((limit for limit in limits if limit < memory_bytes), default=None)


def _huge_pages(root: Path) -> str | None:
    """Return the policy in brackets, as in ``always [madvise] never``."""
    return _text(root / _HUGE).partition("[")[2].partition("]")[0] or None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
