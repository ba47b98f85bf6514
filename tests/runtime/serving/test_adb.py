"""A port is reversed on the one phone, or the one that was named, and taken back; every mistake is one line."""

from dataclasses import dataclass

import pytest

from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError
from edgedraft.runtime.serving.adb import adb_client, reversed_port

PLUG_IN = "plug the phone in and switch on USB debugging, under developer options"
PLATFORM_TOOLS = "install Android's platform tools, and check that `adb devices` works"


@dataclass
class Phone:
    serial: str
    state: str = "device"


class Adb:
    """adbutils' client with these phones; ``breaks`` is raised by the call of that name."""

    def __init__(self, *phones: Phone, breaks: dict[str, Exception] | None = None) -> None:
        self.phones, self.breaks, self.done = phones, breaks or {}, []

    def list(self):
        self._called("list")
        return self.phones

    def device(self, serial):
        client = self

        class Chosen:
            def reverse(self, remote, local):
                client._called("reverse", serial, remote, local)

            def reverse_remove(self, remote):
                client._called("reverse_remove", serial, remote)

        return Chosen()

    def _called(self, *call):
        self.done.append(call)
        if call[0] in self.breaks:
            raise self.breaks[call[0]]


def test_the_phones_own_port_leads_here_while_the_block_runs():
    adb = Adb(Phone("P1"))
    with reversed_port(adb, 8417) as serial:
        assert serial == "P1"
        assert adb.done == [("list",), ("reverse", "P1", "tcp:8417", "tcp:8417")]
    assert adb.done[2:] == [("reverse_remove", "P1", "tcp:8417")]


def test_the_port_is_taken_back_whatever_happens():
    adb = Adb(Phone("P1"))
    with pytest.raises(KeyboardInterrupt), reversed_port(adb, 8417):
        raise KeyboardInterrupt
    assert adb.done[-1] == ("reverse_remove", "P1", "tcp:8417")


def test_a_phone_that_was_unplugged_meanwhile_is_no_error():
    adb = Adb(Phone("P1"), breaks={"reverse_remove": RuntimeError("device not found")})
    with reversed_port(adb, 8417):
        pass
    assert adb.done[-1][0] == "reverse_remove"


def test_one_of_several_is_named():
    adb = Adb(Phone("P1"), Phone("P2", "offline"), Phone("P3"))
    with reversed_port(adb, 1, "P3") as serial:
        assert serial == "P3"


@pytest.mark.parametrize(
    ("phones", "serial", "message"),
    [
        ([], None, f"--adb: adb finds no phone - {PLUG_IN}"),
        ([], "P1", f"--adb: adb finds no phone - {PLUG_IN}"),
        ([Phone("P1"), Phone("P2")], None, "--adb: expected one phone, got P1, P2 - name one with --serial"),
        ([Phone("P1"), Phone("P2")], "P3", "--serial: expected one of P1, P2, got P3"),
        (
            [Phone("P1", "unauthorized")],
            None,
            "--adb: the phone P1 is not ready, got unauthorized - "
            "unlock the phone and allow USB debugging for this computer",
        ),
        (
            [Phone("P1"), Phone("P2", "offline")],
            "P2",
            "--adb: the phone P2 is not ready, got offline - unplug the phone and plug it in again",
        ),
        (
            [Phone("P1", "recovery")],
            None,
            "--adb: the phone P1 is not ready, got recovery - look at the phone's screen",
        ),
    ],
)
def test_mistakes_are_one_line(phones, serial, message):
    adb = Adb(*phones)
    with pytest.raises(EdgedraftError) as error, reversed_port(adb, 8417, serial):
        pass
    assert str(error.value) == message
    assert adb.done == [("list",)]


@pytest.mark.parametrize(
    ("call", "raised", "told"),
    [
        ("list", ConnectionRefusedError(111, "Connection refused"), "[Errno 111] Connection refused"),
        (
            "list",
            FileNotFoundError(2, "No such file or directory: 'adb'"),
            "[Errno 2] No such file or directory: 'adb'",
        ),
        ("reverse", RuntimeError("more than one\ndevice"), "more than one"),
        ("reverse", RuntimeError(), "RuntimeError"),
    ],
)
def test_what_adb_says_is_passed_on(call, raised, told):
    with pytest.raises(EdgedraftError) as error, reversed_port(Adb(Phone("P1"), breaks={call: raised}), 8417):
        pass
    assert str(error.value) == f"--adb: adb failed, got {told} - {PLATFORM_TOOLS}"


def test_the_real_client_has_what_is_used_here():
    client = adb_client()
    assert callable(client.list)
    phone = client.device(serial="P1")
    assert callable(phone.reverse) and callable(phone.reverse_remove)


def test_without_adbutils_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "adbutils", None)
    with pytest.raises(MissingExtraError) as error:
        adb_client()
    assert str(error.value) == 'adbutils is not installed - pip install "edgedraft[adb]"'
