"""Huge pages under the weights: a step streams all of them, and with 4 KiB pages it waits for address translation.

Linux only (5.14 for the advice, 6.1 to act on it at once); elsewhere, and where the system declines, nothing happens.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HUGE = 2 * 2**20
LEAST = 4 * HUGE

_MAPS = Path("/proc/self/maps")
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25


@contextmanager
def huge_pages_under_new_memory() -> Iterator[None]:
    """Move the large anonymous mappings that appear meanwhile onto huge pages, about a second a gigabyte.

    The weights that a session has packed lie in such mappings; what the process held before is left alone.
    """
    before = set(_large_mappings())
    yield
    for start, end in _large_mappings():
        # What remains of a mapping that was partly freed meanwhile is not new.
        if not any(first <= start and end <= last for first, last in before):
            _collapse(start, end)


def _large_mappings() -> Iterator[tuple[int, int]]:
    """Start and end of this process's writable anonymous mappings of ``LEAST`` bytes and more."""
    if sys.platform != "linux" or not _MAPS.exists():
        return
    for line in _MAPS.read_text().splitlines():
        addresses, access, _, _, inode, *_ = line.split()
        start, end = (int(address, 16) for address in addresses.split("-"))
        if access.startswith("rw") and inode == "0" and end - start >= LEAST:
            yield start, end


def _collapse(start: int, end: int) -> None:
    """Ask for huge pages in the aligned inside of a mapping; refusals are the system's right."""
    first, last = -(-start // HUGE) * HUGE, end // HUGE * HUGE
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for advice in (_MADV_HUGEPAGE, _MADV_COLLAPSE):
        madvise(first, last - first, advice)
