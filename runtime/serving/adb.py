"""A phone on a cable: adb forwards a port of the phone's loopback address to this machine.

Browsers treat plain HTTP from loopback as secure, which WebGPU and threads require: no certificate is needed.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError, first_line
from edgedraft.runtime.base.records import require

_READY = "device"
_SECONDS = 30.0
_STATES = {
    "unauthorized": "unlock the phone and allow USB debugging for this computer",
    "offline": "unplug the phone and plug it in again",
}
_NO_PHONE = "plug the phone in and switch on USB debugging, under developer options"


class AdbPhone(Protocol):
    """A phone as adb lists it."""

    serial: str
    state: str


class AdbClient(Protocol):
    """The methods of adbutils' client that are used here."""

    def list(self) -> Sequence[AdbPhone]:
        """List all phones, including those that are not ready."""
        ...

    def device(self, serial: str) -> Any:
        """Return the phone with that serial number; it has ``reverse`` and ``reverse_remove``."""
        ...


def adb_client() -> AdbClient:
    """Return a client of this machine's adb server, which the first request starts if need be."""
    try:
        import adbutils
    except ImportError as error:
        raise MissingExtraError("adbutils", "adb") from error

    client: AdbClient = adbutils.AdbClient(socket_timeout=_SECONDS)
    return client


@contextlib.contextmanager
def reversed_port(client: AdbClient, port: int, serial: str | None = None) -> Iterator[str]:
    """Forward ``127.0.0.1:port`` of a phone to this machine while the block runs, and yield its serial number."""
    with _adb_errors():
        serial = _chosen(client.list(), serial)
        phone = client.device(serial)
        phone.reverse(f"tcp:{port}", f"tcp:{port}")
    try:
        yield serial
    finally:
        with contextlib.suppress(EdgedraftError), _adb_errors():  # a phone that was unplugged needs no tidying
            phone.reverse_remove(f"tcp:{port}")


def _chosen(phones: Sequence[AdbPhone], serial: str | None) -> str:
    """Return the serial number of the named phone, or of the only one; it must be ready."""
    require(len(phones) > 0, "--adb: adb finds no phone", remedy=_NO_PHONE)
    known = ", ".join(phone.serial for phone in phones)
    if serial is None:
        require(len(phones) == 1, "--adb: expected one phone", got=known, remedy="name one with --serial")
    phone = next((phone for phone in phones if serial in (None, phone.serial)), None)
    if phone is None:
        raise EdgedraftError(f"--serial: expected one of {known}", got=serial)
    remedy = _STATES.get(phone.state, "look at the phone's screen")
    require(phone.state == _READY, f"--adb: the phone {phone.serial} is not ready", got=phone.state, remedy=remedy)
    return phone.serial


@contextlib.contextmanager
def _adb_errors() -> Iterator[None]:
    """Turn any error of adbutils, of adb or of the connection into one line."""
    try:
        yield
    except EdgedraftError:
        raise
    except Exception as error:  # adbutils has roots of its own, and passes on those of sockets and processes
        remedy = "install Android's platform tools, and check that `adb devices` works"
        raise EdgedraftError("--adb: adb failed", got=first_line(error), remedy=remedy) from error
