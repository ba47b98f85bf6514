"""A phone on a cable: its own loopback address leads to a port here, which makes plain HTTP a secure context there."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError, first_line
from edgedraft.runtime.base.records import require

_READY = "device"
_STATES = {
    "unauthorized": "unlock the phone and allow USB debugging for this computer",
    "offline": "unplug the phone and plug it in again",
}
_NO_PHONE = "plug the phone in and switch on USB debugging, under developer options"


class Listed(Protocol):
    """A phone as adb lists it."""

    serial: str
    state: str


class AdbClient(Protocol):
    """The part of adbutils that is used here."""

    def list(self) -> Sequence[Listed]:
        """All phones, those that are not ready too."""
        ...

    def device(self, serial: str) -> Any:
        """The phone of that serial number, which can ``reverse`` and ``reverse_remove``."""
        ...


def adb_client() -> AdbClient:
    """The adb server of this machine, started if need be at the first question."""
    try:
        import adbutils
    except ImportError as error:
        raise MissingExtraError("adbutils", "adb") from error

    client: AdbClient = adbutils.AdbClient()
    return client


@contextlib.contextmanager
def reversed_port(client: AdbClient, port: int, serial: str | None = None) -> Iterator[str]:
    """Give the serial number of the phone on whose ``127.0.0.1:port`` this machine's answers while the block runs."""
    with _adbs_errors():
        serial = _chosen(client.list(), serial)
        phone = client.device(serial)
        phone.reverse(f"tcp:{port}", f"tcp:{port}")
    try:
        yield serial
    finally:
        with contextlib.suppress(EdgedraftError), _adbs_errors():  # a phone that was unplugged needs no tidying
            phone.reverse_remove(f"tcp:{port}")


def _chosen(phones: Sequence[Listed], serial: str | None) -> str:
    """The serial number of the one phone, or of the one that was named; it must be ready."""
    require(len(phones) > 0, "--adb: adb finds no phone", remedy=_NO_PHONE)
    known = ", ".join(phone.serial for phone in phones)
    if serial is None:
        require(len(phones) == 1, "--adb: expected one phone", got=known, remedy="name one with --serial")
    found = [phone for phone in phones if serial in (None, phone.serial)]
    require(len(found) > 0, f"--serial: expected one of {known}", got=serial)
    phone = found[0]
    remedy = _STATES.get(phone.state, "look at the phone's screen")
    require(phone.state == _READY, f"--adb: the phone {phone.serial} is not ready", got=phone.state, remedy=remedy)
    return phone.serial


@contextlib.contextmanager
def _adbs_errors() -> Iterator[None]:
    """What adbutils, its adb or the way there say, as one line."""
    try:
        yield
    except EdgedraftError:
        raise
    except Exception as error:  # adbutils has roots of its own, and passes on those of sockets and processes
        remedy = "install Android's platform tools, and check that `adb devices` works"
        raise EdgedraftError("--adb: adb failed", got=first_line(error), remedy=remedy) from error
