"""The listening socket, the addresses that other machines reach it by, and an address as a QR code."""

import contextlib
import errno
import io
import ipaddress
import socket
from collections.abc import Iterable

from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError
from edgedraft.runtime.base.records import require

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"

_DOCUMENTATION_ADDRESS = ("192.0.2.1", 9)
"""An address reserved for documentation (RFC 5737): it has a route, and no machine."""
_QR_BORDER = 2


def listen(port: int, *, beyond_loopback: bool = False, host: str | None = None) -> socket.socket:
    """Open a socket that listens on ``port`` (0: any free one) of ``host``, by default for this machine alone.

    Raises `EdgedraftError` when the port is taken or cannot be listened on.
    """
    require(0 <= port <= 65535, "--port: expected 0..65535", got=port)
    host = host or (EVERYWHERE if beyond_loopback else LOOPBACK)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        rule = f"port {port} of {host} is taken" if taken else f"port {port} of {host} cannot be listened on"
        remedy = "end the other server, or choose another --port"
        raise EdgedraftError(rule, got=None if taken else error.strerror, remedy=remedy) from error


def is_loopback(host: str) -> bool:
    """Return whether a host to listen on is this machine's own, which no other machine can reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def lan_addresses() -> tuple[str, ...]:
    """List the IPv4 addresses by which machines nearby may reach this one, that of the default route first."""
    return reachable([*_default_route(), *_by_name()])


def reachable(addresses: Iterable[str]) -> tuple[str, ...]:
    """Keep those of ``addresses``, once each, that mean this machine to other machines too."""
    parsed = [ipaddress.IPv4Address(address) for address in dict.fromkeys(addresses)]
    return tuple(str(a) for a in parsed if not (a.is_loopback or a.is_unspecified or a.is_link_local or a.is_multicast))


def terminal_qr(text: str) -> str:
    """Draw ``text`` as a QR code in lines of half blocks, for a phone's camera to read off a terminal."""
    try:
        import segno
    except ImportError as error:
        raise MissingExtraError("segno", "serve") from error

    lines = io.StringIO()
    segno.make_qr(text, error="m").terminal(lines, border=_QR_BORDER, compact=True)
    return lines.getvalue().rstrip("\n")


def _default_route() -> list[str]:
    """Return this machine's address on its default route, or nothing without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(_DOCUMENTATION_ADDRESS)  # sends no packet: for datagrams, connecting only looks up the route
        return [str(probe.getsockname()[0])]
    return []


def _by_name() -> list[str]:
    with contextlib.suppress(OSError):
        entries = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET, socket.SOCK_STREAM)
        return [str(address[0]) for *_, address in entries]
    return []
