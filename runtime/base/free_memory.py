"""The memory that this process may still use: the system's, and what its control group leaves of its limit."""

from pathlib import Path


def free_memory_bytes(root: Path = Path("/")) -> int | None:
    """Return bytes of memory that are available; None where the system does not say. ``root``: of the file system."""
    found = [size for size in (_available(root), _left_in_group(root)) if size is not None]
    return min(found, default=None)


def _available(root: Path) -> int | None:
    for line in _text(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        number = value.split()
        if name == "MemAvailable" and number and number[0].isdecimal():
            return int(number[0]) * 1024
    return None


def _left_in_group(root: Path) -> int | None:
    """Return what is left of the limit of a container's own group, which it sees as the root of the hierarchy."""
    limit, used = (_text(root / "sys/fs/cgroup" / name).strip() for name in ("memory.max", "memory.current"))
    return max(int(limit) - int(used), 0) if limit.isdecimal() and used.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
