"""Move weights onto huge pages: each step reads all of them, and with 4 KiB pages it waits for address translation.

Linux only (5.14 for the advice, 6.1 to act on it at once). Elsewhere, and where the kernel declines, nothing happens.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
