"""What a machine is told to be: at least one core, some memory, and a name fit for a table."""

import contextlib
import ctypes
import os
import platform
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgedraft.devices import machine as machines
from edgedraft.devices.machine import Machine, this_machine, usable_cores


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


@pytest.fixture
def windows(monkeypatch):
    """What Windows offers and Linux lacks, faked: the registry and kernel32; returns what the registry holds."""
    held = {"ProcessorNameString": "  AMD Ryzen 7   7840U "}

    def status(pointer):
        asked = pointer._obj
        if asked.length != ctypes.sizeof(asked) or asked.length != 64:
            return 0
        asked.total = 15 * 2**30
        return 1

    def open_key(root, name):
        if (root, name) != ("machine", r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"):
            raise FileNotFoundError(name)
        return contextlib.nullcontext("key")

    def value(key, name):
        if key != "key" or name not in held:
            raise FileNotFoundError(name)
        return held[name], 1

    registry = SimpleNamespace(HKEY_LOCAL_MACHINE="machine", OpenKey=open_key, QueryValueEx=value)
    kernel = SimpleNamespace(GlobalMemoryStatusEx=status)
    monkeypatch.setitem(sys.modules, "winreg", registry)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setattr(platform, "processor", lambda: "AMD64 Family 25 Model 116")
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.delattr(os, "sysconf")
    return held


def test_windows_says_memory_and_processor_without_psutil(windows):
    machine = this_machine()
    assert (machine.memory_bytes, machine.processor) == (15 * 2**30, "AMD Ryzen 7 7840U")
    assert machine.name.endswith(f"cores, 15 GiB, Windows {platform.machine()}")


def test_windows_without_a_name_in_the_registry_has_a_processor_too(windows):
    windows.clear()
    assert this_machine().processor == "AMD64 Family 25 Model 116"


@pytest.mark.parametrize(("failed", "processor"), [(0, "Apple M4"), (-1, "arm")])
def test_macos_says_its_processor(monkeypatch, failed, processor):
    def sysctlbyname(name, buffer, size, new, new_size):
        assert (name, new, size._obj.value) == (b"machdep.cpu.brand_string", None, 256)
        buffer.value = b"Apple M4"
        return failed

    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(sysctlbyname=sysctlbyname))
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    assert this_machine().processor == processor


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
