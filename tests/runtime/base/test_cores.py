"""The cores that a process may use: affinity, and quotas of control groups of version 1 and 2, at any depth."""

import os

import pytest

from edgedraft.runtime.base.cores import require_threads, usable_cores
from edgedraft.runtime.base.errors import EdgedraftError

V2 = "30 20 0:26 {root} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "32 20 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
MEMORY = "33 20 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Write the files of a system on which 8 cores are visible."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)

    def write(groups: str, mounts: str, files: dict[str, str]):
        for name, text in {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 8), ("100000 100000", 1), ("250000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8)],
)
def test_a_quota_of_version_two(system, quota, cores):
    root = system("0::/app\n", V2.format(root="/"), {"sys/fs/cgroup/app/cpu.max": f"{quota}\n"})
    assert usable_cores(root) == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", 8), ("300000", 3), ("20000", 1)])
def test_a_quota_of_version_one(system, quota, cores):
    group = "sys/fs/cgroup/cpu,cpuacct/app"
    files = {f"{group}/cpu.cfs_quota_us": f"{quota}\n", f"{group}/cpu.cfs_period_us": "100000\n"}
    assert usable_cores(system("9:memory:/other\n4:cpu,cpuacct:/app\n", MEMORY + V1.format(root="/"), files)) == cores


def test_the_smallest_quota_of_all_groups_around_counts(system):
    group = "sys/fs/cgroup"
    files = {f"{group}/a/cpu.max": "200000 100000", f"{group}/a/b/c/cpu.max": "500000 100000"}
    assert usable_cores(system("0::/a/b/c\n", V2.format(root="/"), files)) == 2


def test_a_container_that_sees_its_own_group_alone(system):
    files = {"sys/fs/cgroup/cpu.max": "300000 100000", "sys/fs/cgroup/sub/cpu.max": "400000 100000"}
    assert usable_cores(system("0::/docker/xyz/sub\n", V2.format(root="/docker/xyz"), files)) == 3
    assert usable_cores(system("0::/../../elsewhere\n", V2.format(root="/docker/xyz"), files)) == 3


def test_both_versions_at_once(system):
    files = {
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "400000",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/cpu.max": "max 100000",
    }
    assert usable_cores(system("4:cpu,cpuacct:/\n0::/\n", V2.format(root="/") + V1.format(root="/"), files)) == 4


def test_a_system_without_groups_or_with_odd_files_has_its_visible_cores(system, tmp_path):
    assert usable_cores(tmp_path / "nowhere") == 8
    files = {"sys/fs/cgroup/cpu.max": "many cores, 0"}
    assert usable_cores(system("nonsense\n0::/\n", "short line\n" + V2.format(root="/"), files)) == 8


def test_affinity_counts(system, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert usable_cores(system("0::/\n", V2.format(root="/"), {"sys/fs/cgroup/cpu.max": "300000 100000"})) == 1


@pytest.mark.parametrize("threads", [0, -1, 1000, 100_000])
def test_threads_that_no_machine_explains_are_refused(threads, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    with pytest.raises(EdgedraftError, match=rf"^threads: expected 1\.\.32 on this machine, got {threads}$"):
        require_threads(threads)
    require_threads(32)
