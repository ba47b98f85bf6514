"""What some tests need beyond Python: a test that lacks something skips and says what; nothing else decides that.

With EDGEDRAFT_REQUIRE_ALL=1, which `.ci/run` sets, such a test fails instead.
"""

import ctypes
import importlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

REQUIRE_ALL = "EDGEDRAFT_REQUIRE_ALL"
WEB = Path(__file__).resolve().parents[1] / "runtime" / "web"
SOFTWARE_GPU_FILE = Path("/usr/lib/chromium/vk_swiftshader_icd.json")


@dataclass(frozen=True, kw_only=True)
class Need:
    """Something that a machine may lack, and how it gets there."""

    what: str
    remedy: str
    is_there: Callable[[], bool]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def need_program(name: str, what: str, remedy: str) -> Need:
    """Need a program on the path."""
    return Need(what=what, remedy=remedy, is_there=lambda: shutil.which(name) is not None)


VULKAN = Need(
    what="the Vulkan loader libvulkan.so.1",
    remedy="apt-get install libvulkan1",
    is_there=lambda: _loads("libvulkan.so.1"),
)
SOFTWARE_GPU = Need(
    what=f"the software GPU of Debian's chromium, {SOFTWARE_GPU_FILE}",
    remedy="apt-get install chromium",
    is_there=SOFTWARE_GPU_FILE.exists,
)
CHROMIUM = need_program("chromium", "Debian's chromium", "apt-get install chromium")
NODE = need_program("node", "Node.js", "install Node.js 22 or newer")
NPM = need_program("npm", "npm", "install Node.js 22 or newer")
BUILT_PAGE = Need(
    what="the built page, runtime/web/dist/page",
    remedy="npm ci --ignore-scripts && npm run build, in runtime/web",
    is_there=lambda: (WEB / "dist" / "page" / "index.html").is_file() and (WEB / "node_modules").is_dir(),
)


def program(name: str) -> str:
    """Return the path of a program that a test has asked for with `skip_without`."""
    found = shutil.which(name)
    assert found is not None
    return found


def skip_without(*needs: Need) -> None:
    """Skip the test that calls this, or whose fixture does, where something is missing; see the module."""
    lacking = [f"{need.what} ({need.remedy})" for need in needs if not need.is_there()]
    if lacking:
        _stop(f"needs {' and '.join(lacking)}")


def package(module: str, *, extra: str) -> ModuleType:
    """Return the module, or skip as `skip_without` does where the package is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        _stop(f'needs the package {module} (pip install -e ".[{extra}]")')


def _stop(reason: str) -> NoReturn:
    if os.environ.get(REQUIRE_ALL) == "1":
        pytest.fail(f"{reason}; {REQUIRE_ALL}=1 allows no skip")
    pytest.skip(reason)
