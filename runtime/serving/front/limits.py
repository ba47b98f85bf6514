"""The limits of a server: the time that a client has for each step, and the number of connections."""

import contextlib
import dataclasses
import os
from dataclasses import dataclass
from types import ModuleType

resource: ModuleType | None
try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None

_SPARE = 32
"""Descriptors that are left for results, thread pools and imports."""
_PER_CONNECTION = 2
"""Descriptors of one connection: its socket, and the file that is sent over it."""
_FEWEST = 4
_USUALLY_OPEN = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientLimits:
    """The seconds that a server waits for its clients, and the number of connections that it keeps.

    ``head_seconds`` is for the TLS handshake and the head of a request, and then for the head of the next one.
    ``body_seconds`` is for the whole body of a request. ``stall_seconds`` is for a client that reads nothing of its
    answer. No more than ``per_client`` connections of one address are kept, and no more than ``total`` in all.
    """

    head_seconds: float = 10.0
    body_seconds: float = 30.0
    stall_seconds: float = 60.0
    per_client: int = 64
    total: int = 256


def fitting(limits: ClientLimits, descriptors: int | None, in_use: int) -> ClientLimits:
    """Return the limits with so few connections that a process never runs out of ``descriptors`` (None: no limit)."""
    if descriptors is None:
        return limits
    room = (descriptors - in_use - _SPARE) // _PER_CONNECTION
    total = max(_FEWEST, min(limits.total, room))
    return dataclasses.replace(limits, total=total, per_client=min(limits.per_client, total))


def of_this_process(limits: ClientLimits) -> ClientLimits:
    """Return the limits as far as this process may open descriptors."""
    return fitting(limits, _descriptors(), _in_use())


def _descriptors() -> int | None:
    if resource is None:
        return None
    soft = int(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    return None if soft == resource.RLIM_INFINITY else soft


def _in_use() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return len(os.listdir(folder))
    return _USUALLY_OPEN
