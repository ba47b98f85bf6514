"""The library of kernels, built from this checkout's sources."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgedraft.runtime.native.library import library_path, load_library
from tests.needs import need_program, skip_without

REPOSITORY = Path(__file__).resolve().parents[3]
OTHER_BUILD = "EDGEDRAFT_TESTED_KERNELS"
"""Names a library that was built in another way, with sanitizers for example."""
COMPILER = need_program(os.environ.get("CXX", "g++"), "a C++ compiler", "apt-get install g++, or set CXX")


@pytest.fixture(scope="session")
def library():
    """The loaded library; sources that changed since the last build are compiled first."""
    if OTHER_BUILD in os.environ:
        return load_library(Path(os.environ[OTHER_BUILD]))
    skip_without(COMPILER)
    build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    done = subprocess.run(build, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    path = library_path()
    assert path is not None, done.stderr
    return load_library(path)


@pytest.fixture
def stock_attention(monkeypatch):
    """Sessions of this test keep onnxruntime's attention."""
    monkeypatch.setattr("edgedraft.runtime.onnx.kernel_choice.why_stock_attention", lambda path: "asked for")


@pytest.fixture(scope="session")
def kernels(library):
    """The names of the kernels that this CPU can run."""
    names = [name for name, runs_here in library.kernels().items() if runs_here]
    assert names[-1] == "portable"
    return names
