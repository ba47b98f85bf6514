"""Count the cores that this process may use: by its affinity, and by the CPU quota of its container."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from edgedraft.runtime.base.records import require

_THREADS_A_CORE, _THREADS_ANYWHERE = 4, 16


def usable_cores(root: Path = Path("/")) -> int:
    """Return how many cores this process may keep busy, at least 1; ``root`` is the root of the file system.

    A quota of 2.5 cores counts as 2: with 3 threads, the system would pause one and the others would wait for it.
    """
    visible = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(int(min([visible, *_quotas(root)])), 1)


def require_threads(threads: int, what: str = "threads") -> None:
    """Refuse a number of threads far above what any machine has: such a pool never finishes a pass."""
    most = max(_THREADS_A_CORE * (os.cpu_count() or 1), _THREADS_ANYWHERE)
    require(1 <= threads <= most, f"{what}: expected 1..{most} on this machine", got=threads)


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPU quotas, in cores, of this process's control groups and of the groups above them."""
    for folder, stop in _group_folders(root):
        while True:
            quota = _quota(folder)
            if quota is not None:
                yield quota
            if folder == stop or stop not in folder.parents:
                break
            folder = folder.parent


def _group_folders(root: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the folder of each of this process's control groups, and the mount point above it.

    Source: proc_pid_mountinfo(5) and cgroups(7). A container may see only a part of the hierarchy: the mount's root.
    """
    groups = [line.split(":", 2) for line in _lines(root / "proc/self/cgroup") if line.count(":") >= 2]
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, behind = line.partition(" - ")
        fields, kind = before.split(" "), behind.split(" ")
        if len(fields) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        mounted, mount = fields[3], root / fields[4].lstrip("/")
        for group in groups:
            of_mount = (
                group[1] == "" if kind[0] == "cgroup2" else "cpu" in group[1].split(",") and "cpu" in kind[2].split(",")
            )
            if len(group) == 3 and of_mount:
                yield mount / _inside(group[2], mounted), mount


def _inside(group: str, mounted: str) -> PurePosixPath:
    """Return a group's path relative to a mount of the group ``mounted``."""
    path = PurePosixPath(group)
    inside = path.relative_to(mounted) if path.is_relative_to(mounted) else PurePosixPath()
    return PurePosixPath(*(part for part in inside.parts if part not in ("/", "..")))


def _quota(folder: Path) -> float | None:
    """Read a group's quota in cores, for control groups version 1 or 2; None if it has none."""
    both = " ".join(_lines(folder / "cpu.max")) or " ".join(
        line for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us") for line in _lines(folder / name)
    )
    numbers = both.split()
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers) or int(numbers[1]) == 0:
        return None  # "max", -1, or no such file
    return int(numbers[0]) / int(numbers[1])


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
