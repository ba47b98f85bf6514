"""What a machine is told to be: at least one core, some memory, and a name fit for a table."""

import os
import platform
from pathlib import Path

import pytest

from edgedraft.devices import machine as machines
from edgedraft.devices.machine import Machine, this_machine, usable_cores
from tests.needs import package


def test_this_machine_is_told_sensibly():
    machine = this_machine()
    assert 1 <= machine.cores <= (os.cpu_count() or 1)
    assert machine.cores == usable_cores()
    assert 2**28 < machine.memory_bytes < 2**50
    assert machine.processor
    assert machine.processor == machine.processor.strip()
    assert platform.machine() in machine.system
    assert len(set(machine.features)) == len(machine.features)
    assert machine == this_machine()


def test_the_name_is_one_line_for_a_table():
    machine = Machine(
        processor="Some CPU", cores=8, memory_bytes=int(15.6 * 2**30), system="Linux x86_64", features=("avx2", "sve")
    )
    assert machine.name == "Some CPU (avx2, sve), 8 cores, 16 GiB, Linux x86_64"
    assert "\n" not in this_machine().name


def test_the_name_leaves_out_features_that_are_not_known():
    machine = Machine(processor="M4", cores=1, memory_bytes=2**30, system="Darwin arm64", features=())
    assert machine.name.startswith("M4, ")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only some systems bind processes to cores")
def test_only_the_cores_this_process_may_use_count():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(("count", "cores"), [(6, 6), (None, 1)])
def test_other_systems_count_all_cores(monkeypatch, count, cores):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert usable_cores() == cores


def test_memory_comes_from_psutil_where_the_system_does_not_tell(monkeypatch):
    psutil = package("psutil", extra="probe")
    monkeypatch.setattr(os, "sysconf_names", {}, raising=False)
    assert this_machine().memory_bytes == psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("text", "processor", "features"),
    [
        (
            "processor\t: 0\nmodel name\t: AMD EPYC 7B13\nflags\t\t: fpu avx2 avx512f\n\n"
            "processor\t: 1\nmodel name\t: AMD EPYC 7B13\nflags\t\t: fpu avx2 avx512f\n",
            "AMD EPYC 7B13",
            ("avx2", "avx512f"),
        ),
        (
            "processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\n\nHardware\t: Pi: rev 5\n",
            "Pi: rev 5",
            ("asimddp", "i8mm"),
        ),
        ("processor\t: 0\n", platform.machine(), ()),
        ("", platform.machine(), ()),
    ],
    ids=["x86", "arm", "bare", "empty"],
)
def test_processor_and_features_come_from_the_kernel(monkeypatch, tmp_path, text, processor, features):
    told = tmp_path / "cpuinfo"
    told.write_text(text)
    monkeypatch.setattr(machines, "Path", lambda path: told if path == "/proc/cpuinfo" else Path(path))
    machine = this_machine()
    assert (machine.processor, machine.features) == (processor, features)


def test_other_systems_tell_the_name_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(machines, "Path", lambda path: tmp_path / "no such file")
    monkeypatch.setattr(platform, "processor", lambda: "")
    machine = this_machine()
    assert (machine.processor, machine.features) == (platform.machine(), ())
