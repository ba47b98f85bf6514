"""Pages of memory: huge ones under weights, small ones that are committed on demand under keys and values.

Each step reads all weights, and with 4 KiB pages it waits for address translation. Huge pages are for Linux only (5.14
for the advice, 6.1 to act on it at once). Elsewhere, and where the kernel declines, nothing happens.
"""

import contextlib
import ctypes
import mmap
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgedraft.runtime.base.arrays import CacheArray

HUGE = 2 * 2**20  # bytes of a huge page on x86-64, and on ARM with 4 KiB pages
LEAST = 4 * HUGE  # smaller mappings are not weights

_MAPS = Path("/proc/self/maps")
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25  # from <linux/mman.h>


@contextmanager
def huge_pages_under_new_memory() -> Iterator[None]:
    """Move the large anonymous mappings that appear while the block runs onto huge pages.

    These hold the weights that a session has packed; older mappings are left alone. Takes about a second per gigabyte.
    """
    before = set(_large_mappings())
    yield
    for start, end in _large_mappings():
        # What remains of a mapping that was partly freed meanwhile is not new.
        if not any(first <= start and end <= last for first, last in before):
            _collapse(start, end)


def _large_mappings() -> Iterator[tuple[int, int]]:
    """Yield start and end of this process's writable anonymous mappings of at least ``LEAST`` bytes."""
    if sys.platform != "linux" or not _MAPS.exists():
        return
    for line in _MAPS.read_text().splitlines():
        # 7f3c00000000-7f3c40000000 rw-p 00000000 00:00 0: inode 0 means that no file lies behind the mapping.
        addresses, access, _, _, inode, *_ = line.split()
        start, end = (int(address, 16) for address in addresses.split("-"))
        if access.startswith("rw") and inode == "0" and end - start >= LEAST:
            yield start, end


def _collapse(start: int, end: int) -> None:
    """Ask the kernel for huge pages inside a mapping; it may refuse, which only costs speed."""
    # Round inwards to whole huge pages: the start up (-(-a // b) divides rounding up), the end down.
    first, last = -(-start // HUGE) * HUGE, end // HUGE * HUGE
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for advice in (_MADV_HUGEPAGE, _MADV_COLLAPSE):
        madvise(first, last - first, advice)


def zeros_on_demand(shape: tuple[int, ...], dtype: npt.DTypeLike) -> CacheArray:
    """Return zeros in a mapping of their own, committed by the system as they are used; the array keeps it alive.

    The mapping is private: a forked child writes to a copy, never to its parent's keys and values.
    """
    size = prod(shape) * np.dtype(dtype).itemsize
    if sys.platform == "win32":
        memory = mmap.mmap(-1, size)  # neither fork nor huge pages without asking
    else:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        _keep_small_pages(memory)
    return np.frombuffer(memory, dtype=dtype).reshape(shape)


def _keep_small_pages(memory: mmap.mmap) -> None:
    """Ask for no huge pages: where a system gives them unasked, one token of a row would commit 2 MiB."""
    if sys.platform == "linux":
        # A kernel built without huge pages refuses the advice, and needs none.
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_NOHUGEPAGE)
