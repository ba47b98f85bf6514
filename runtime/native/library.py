"""Find and load the library of own kernels, which `pip install` builds where there is a C++ compiler.

The library replaces onnxruntime's product with int4 and int8 weights, and its attention, in sessions that it is
registered with. Nothing here opens a session.
"""

import ctypes
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edgedraft.runtime.base.errors import EdgedraftError

AUTO, STOCK = "auto", "stock"
FORCED_BY = "EDGEDRAFT_KERNELS"

PORTABLE = "portable"
"""The reference in plain C++; no CPU is faster with it."""

MEASURED_FASTER = ("avx512vnni", "avxvnni", "avx2")
"""Kernels that were measured and beat stock at every number of rows; "auto" takes no others."""

_NAMES = {"darwin": "libedgedraft_kernels.dylib", "win32": "edgedraft_kernels.dll"}
_MESSAGE_BYTES = 512


def library_path() -> Path | None:
    """Return where the built library lies; None where it was not built."""
    path = Path(__file__).with_name(_NAMES.get(sys.platform, "libedgedraft_kernels.so"))
    return path if path.exists() else None


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelLibrary:
    """The loaded library: which kernels there are, which is chosen, and how often they ran."""

    path: Path
    functions: ctypes.CDLL

    def kernels(self) -> dict[str, bool]:
        """Return the names of all compiled kernels, the best first, and if this CPU can run them."""
        names: dict[str, bool] = {}
        while name := self.functions.edgedraft_kernel_name(len(names)):
            names[name.decode()] = bool(self.functions.edgedraft_kernel_runs_here(name))
        return names

    def prefer(self, name: str, *, attention: bool = False) -> None:
        """Choose the kernel for sessions that this thread opens; an empty name follows the environment again.

        With ``attention`` the sessions take attention from the library, too.
        """
        self.functions.edgedraft_prefer_kernel(name.encode())
        self.functions.edgedraft_prefer_attention(int(attention))

    def chosen(self) -> str:
        """Return the kernel that new sessions get, or "stock". Raises `EdgedraftError` if it cannot run here."""
        text = ctypes.create_string_buffer(_MESSAGE_BYTES)
        failed = self.functions.edgedraft_chosen_kernel(text, ctypes.c_size_t(_MESSAGE_BYTES))
        if failed:
            raise EdgedraftError(text.value.decode(), remedy="set EDGEDRAFT_KERNELS to auto, or leave it out")
        return text.value.decode()

    def default(self) -> str:
        """Return the kernel that "auto" means here: one that was measured faster, or the one that the user forced."""
        name = self.chosen()
        return name if forced() or name in MEASURED_FASTER else STOCK

    def undecided(self) -> tuple[str, ...]:
        """Return the kernels to time on this machine; empty where "auto" knows which are faster.

        They are "stock" and the best kernels that run here, or those that the user forced, if these were never
        compared.
        """
        name = self.chosen()
        return () if name in (*MEASURED_FASTER, STOCK, PORTABLE) else (STOCK, name)

    def products(self) -> int:
        """Return how many products the library has computed in this process, in all sessions."""
        return int(self.functions.edgedraft_products())

    def attentions(self) -> int:
        """Return how many attentions (one a layer and pass) the library has computed in this process."""
        return int(self.functions.edgedraft_attentions())

    def portable_products(self) -> int:
        """Return how many of the products took the portable kernel."""
        return int(self.functions.edgedraft_portable_products())


def load_library(path: Path) -> KernelLibrary:
    """Load the library at ``path``. Raises `EdgedraftError` if it cannot be loaded or is of another version."""
    try:
        functions = ctypes.CDLL(str(path))
    except OSError as error:
        raise EdgedraftError(f"{path}: cannot be loaded", got=str(error), remedy="install edgedraft again") from error
    try:
        functions.edgedraft_kernel_name.restype = ctypes.c_char_p
        functions.edgedraft_products.restype = ctypes.c_int64
        functions.edgedraft_attentions.restype = ctypes.c_int64
        functions.edgedraft_portable_products.restype = ctypes.c_int64
    except AttributeError as error:
        rule = f"{path}: expected the kernels of this version"
        raise EdgedraftError(rule, got=str(error), remedy="install edgedraft again") from error
    return KernelLibrary(path=path, functions=functions)


def forced() -> bool:
    """Return whether EDGEDRAFT_KERNELS names the kernels of sessions."""
    return os.environ.get(FORCED_BY, AUTO) not in ("", AUTO)


@cache
def own_kernels() -> KernelLibrary | None:
    """Return the library that was built with this installation; None where there is none."""
    path = library_path()
    return load_library(path) if path else None


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelState:
    """Own kernels of this installation: the library, every kernel with whether it runs here, and the chosen one."""

    library: str | None
    kernels: dict[str, bool]
    chosen: str


def kernel_state() -> KernelState:
    """Return the state of own kernels here. Raises `EdgedraftError` if EDGEDRAFT_KERNELS names none that can run."""
    library = own_kernels()
    if library is None:
        return KernelState(library=None, kernels={}, chosen=STOCK)
    return KernelState(library=str(library.path), kernels=library.kernels(), chosen=library.default())
