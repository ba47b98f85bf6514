"""The socket that is listened on: this machine alone unless asked otherwise, and the addresses others reach it by."""

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Iterable

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import require

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"

_SOMEWHERE = ("192.0.2.1", 9)
"""An address for documentation (RFC 5737): nothing is sent there, the system only says which way it would go."""


def listen(port: int, *, beyond_loopback: bool = False) -> socket.socket:
    """A socket that listens on ``port`` (0: a free one), by default for this machine alone."""
    require(0 <= port <= 65535, "--port: expected 0..65535", got=port)
    host = EVERYWHERE if beyond_loopback else LOOPBACK
    try:
        return socket.create_server((host, port))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        rule = f"port {port} of {host} is taken" if taken else f"port {port} of {host} cannot be listened on"
        remedy = "end the other server, or choose another --port"
        raise EdgedraftError(rule, got=None if taken else error.strerror, remedy=remedy) from error


def lan_addresses() -> tuple[str, ...]:
    """IPv4 addresses that machines around this one may reach it by, that of the default route first."""
    return reachable([*_default_route(), *_by_name()])


def reachable(addresses: Iterable[str]) -> tuple[str, ...]:
    """Those of ``addresses``, once each, that mean this machine to others too."""
    found = [ipaddress.IPv4Address(address) for address in dict.fromkeys(addresses)]
    return tuple(str(a) for a in found if not (a.is_loopback or a.is_unspecified or a.is_link_local or a.is_multicast))


def _default_route() -> list[str]:
    """No packet leaves: connecting a datagram socket only looks up the route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(_SOMEWHERE)
        return [str(probe.getsockname()[0])]
    return []


def _by_name() -> list[str]:
    with contextlib.suppress(OSError):
        found = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET, socket.SOCK_STREAM)
        return [str(address[0]) for *_, address in found]
    return []
