"""The kernels compiled in other ways: under sanitizers, for Arm under an emulator, and not at all."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.needs import need_program, skip_without
from tests.runtime.native.conftest import COMPILER, OTHER_BUILD, REPOSITORY

SOURCES = REPOSITORY / "runtime" / "native" / "cpp"
WITH_ONNXRUNTIME = ("op", "attention_op", "registration", "direct")
COMPARISON = Path(__file__).with_name("compare_kernels.cpp")
FLAGS = ["-std=c++17", "-ffp-contract=off", "-fno-math-errno", "-pthread", "-Wall", "-Wextra", "-Werror"]
SANITIZERS = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
ARM_COMPILER, EMULATOR = (
    need_program(name, name, f"apt-get install {package}")
    for name, package in (("aarch64-linux-gnu-g++", "g++-aarch64-linux-gnu"), ("qemu-aarch64", "qemu-user"))
)

pytestmark = pytest.mark.compilers


def comparison(compiler, folder, *flags):
    """Compile the program that compares all kernels of a processor; the operators themselves need onnxruntime."""
    sources = [str(path) for path in sorted(SOURCES.glob("*.cpp")) if path.stem not in WITH_ONNXRUNTIME]
    program = folder / "compare_kernels"
    # GCC 12 warns about uninitialized values inside its own AVX-512 headers.
    command = [compiler, *FLAGS, "-Wno-maybe-uninitialized", *flags, f"-I{SOURCES}", *sources, str(COMPARISON)]
    subprocess.run([*command, "-o", str(program)], check=True)
    return program


def equal_kernels(*command):
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [line.split(":")[0] for line in done.stdout.splitlines() if line.endswith(": equal")]


def test_kernels_agree_under_sanitizers(tmp_path, kernels):
    skip_without(COMPILER)
    program = comparison(os.environ.get("CXX", "g++"), tmp_path, *SANITIZERS)
    assert equal_kernels(str(program), "2000") == kernels


SLOW = "test_a_row_does_not_depend_on_its_pass_or_the_kernel"
"""Thousands of passes; what they read is read by the other tests, too."""


def library_of(compiler, name):
    done = subprocess.run([compiler, f"-print-file-name={name}"], check=True, capture_output=True, text=True)
    return str(Path(done.stdout.strip()).resolve())


def test_sessions_read_nothing_past_its_end_under_sanitizers(tmp_path):
    skip_without(COMPILER)
    compiler, library = os.environ.get("CXX", "g++"), tmp_path / "kernels.so"
    sources = [str(path) for path in sorted(SOURCES.glob("*.cpp"))]
    flags = [*FLAGS, "-Wno-maybe-uninitialized", *SANITIZERS, "-fPIC", "-shared"]
    subprocess.run([compiler, *flags, *sources, "-o", str(library)], check=True)
    # The sanitizer looks for C++'s exceptions when it is loaded. Python keeps memory until it ends: no leak of ours.
    preloaded = " ".join(library_of(compiler, name) for name in ("libasan.so", "libstdc++.so"))
    sanitized = {"LD_PRELOAD": preloaded, "ASAN_OPTIONS": "detect_leaks=0", OTHER_BUILD: str(library)}
    tests = [f"tests/runtime/native/{name}" for name in ("test_operator.py", "test_products.py", "test_attention.py")]
    options = ("-q", "--capture=no", "-p", "no:cacheprovider", "-k", f"not {SLOW}")
    command = [sys.executable, "-m", "pytest", *options, *tests]
    done = subprocess.run(command, cwd=REPOSITORY, env=os.environ | sanitized, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def test_arm_kernels_agree_under_emulation(tmp_path):
    skip_without(ARM_COMPILER, EMULATOR)
    program = comparison("aarch64-linux-gnu-g++", tmp_path, "-O3", "-static")
    assert equal_kernels("qemu-aarch64", "-cpu", "max", str(program), "300") == ["i8mm", "dotprod", "portable"]


def test_an_arm_cpu_without_dot_products_runs_the_portable_kernel(tmp_path):
    skip_without(ARM_COMPILER, EMULATOR)
    program = comparison("aarch64-linux-gnu-g++", tmp_path, "-O2", "-static")
    assert equal_kernels("qemu-aarch64", "-cpu", "cortex-a53", str(program), "10") == ["portable"]


def wheel_built_with(compiler, folder):
    # A copy: setuptools would take what an earlier build left in the checkout.
    checkout = folder / "checkout"
    unwanted = shutil.ignore_patterns(".git", "build", "node_modules", "*.so", "*.egg-info", "tests", "__pycache__")
    shutil.copytree(REPOSITORY, checkout, ignore=unwanted)
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    environment = os.environ | ({"CXX": compiler} if compiler else {})
    done = subprocess.run(command, cwd=checkout, env=environment, check=True, capture_output=True, text=True)
    (wheel,) = folder.glob("*.whl")
    return wheel, done.stdout + done.stderr


def test_an_installation_without_a_compiler_goes_on(tmp_path):
    wheel, output = wheel_built_with("/bin/false", tmp_path)
    assert wheel.name.endswith("-py3-none-any.whl")
    assert output.count("own kernels were not built") == 1
    assert not any("edgedraft_kernels" in name for name in zipfile.ZipFile(wheel).namelist())


def test_a_wheel_holds_the_library_for_its_platform_and_any_python(tmp_path):
    skip_without(COMPILER)
    wheel, _ = wheel_built_with(None, tmp_path)
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert wheel.name.endswith(f"-py3-none-{platform}.whl")
    held = [name for name in zipfile.ZipFile(wheel).namelist() if "edgedraft_kernels" in name]
    assert held == ["edgedraft/runtime/native/libedgedraft_kernels.so"]
