"""What is read of an installation: metadata, a faked file system, and providers that are really tried."""

import json

from edgedraft.__main__ import main
from edgedraft.devices.doctor import trying
from edgedraft.devices.doctor.packages import examined_packages, needed_by_extra
from edgedraft.devices.doctor.resources import examined_resources
from edgedraft.devices.doctor.trying import tried_providers
from edgedraft.runtime.onnx.providers import available_providers


def test_extras_need_what_the_extras_in_them_need():
    requirements = [
        "numpy>=1.26",
        'edgedraft[probe]; extra == "serve"',
        'starlette>=0.49.1; extra == "serve"',
        'psutil>=6; extra == "probe"',
        'edgedraft[serve,a]; extra == "a"',
    ]
    assert needed_by_extra(requirements) == {
        "": ("numpy",),
        "serve": ("psutil", "starlette"),
        "probe": ("psutil",),
        "a": ("psutil", "starlette"),
    }


def test_this_environment():
    packages = examined_packages()
    assert packages.versions["edgedraft"]
    assert packages.extras[""] == (), "the tests run with all that the runtime needs"
    assert len(packages.onnxruntimes) == 1


def test_a_container_of_one_core_and_one_gibibyte(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEDRAFT_CACHE", str(tmp_path / "none" / "yet"))
    files = {
        "proc/meminfo": "MemTotal:  8000000 kB\nMemAvailable:    2048 kB\n",
        "proc/self/cgroup": "0::/\n",
        "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        "sys/fs/cgroup/cpu.max": "100000 100000\n",
        "sys/fs/cgroup/memory.max": f"{2**30}\n",
        "sys/kernel/mm/transparent_hugepage/enabled": "always madvise [never]\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = examined_resources(tmp_path)
    assert (found.usable_cores, found.memory_free_bytes, found.memory_limit_bytes) == (1, 2**21, 2**30)
    assert (found.huge_pages, found.cache) == ("never", str(tmp_path / "none" / "yet"))


def test_a_system_that_says_nothing(tmp_path):
    found = examined_resources(tmp_path)
    assert (found.memory_free_bytes, found.memory_limit_bytes, found.huge_pages) == (None, None, None)


def test_the_small_graph_is_what_its_comment_says():
    import onnx

    model = onnx.load_model_from_string(trying.GRAPH)
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["MatMul"]


def test_providers_are_tried_for_real():
    trials = {trial.name: trial for trial in tried_providers()}
    assert set(trials) == set(available_providers())
    assert trials["cpu"].runs
    if "azure" in trials:  # listed by stock onnxruntime, but the CPU would run everything
        assert trials["azure"].reason == (
            "provider azure: ONNX Runtime runs no part of this graph on it, got cpu instead"
        )


def test_a_provider_that_ends_its_process_is_a_reason(monkeypatch):
    monkeypatch.setattr(trying, "available_providers", lambda: {"cpu": "CPUExecutionProvider"})
    monkeypatch.setattr(trying, "_CHILD", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    [trial] = tried_providers()
    assert (trial.runs, trial.reason) == (False, "its process ended with code -9")


def test_the_command(monkeypatch, capsys):
    monkeypatch.setattr("edgedraft.devices.doctor.examining.tried_providers", lambda: ())
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"packages", "providers", "kernels", "resources", "problems"}
    assert main(["doctor"]) == 0
    assert "extra       export: installed" in capsys.readouterr().out
