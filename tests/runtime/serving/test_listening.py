"""Nothing listens beyond this machine unless that was asked for; a port that is taken is told in one line."""

import socket

import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.serving.listening import lan_addresses, listen, reachable
from edgedraft.runtime.serving.site import Site


def test_by_default_only_loopback_is_listened_on():
    with listen(0) as listener:
        host, port = listener.getsockname()
        assert host == "127.0.0.1"
        assert port > 0
        assert listener.family == socket.AF_INET
        for address in lan_addresses():
            with pytest.raises(OSError):
                socket.create_connection((address, port), timeout=2)


def test_the_running_server_listens_on_loopback_alone(serving):
    with serving(Site(files={})) as running:
        assert running.server.address == ("127.0.0.1", running.port)
        for address in lan_addresses():
            with pytest.raises(OSError):
                socket.create_connection((address, running.port), timeout=2)


def test_beyond_loopback_others_reach_it(serving):
    with serving(Site(files={}), beyond_loopback=True) as running:
        assert running.server.address[0] == "0.0.0.0"
        for address in ("127.0.0.1", *lan_addresses()):
            socket.create_connection((address, running.port), timeout=2).close()


@pytest.mark.parametrize(("beyond", "host"), [(False, "127.0.0.1"), (True, "0.0.0.0")])
def test_a_taken_port_is_told(beyond, host):
    with listen(0) as first:
        port = first.getsockname()[1]
        with pytest.raises(EdgedraftError) as error:
            listen(port, beyond_loopback=beyond)
    assert str(error.value) == f"port {port} of {host} is taken - end the other server, or choose another --port"


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none_is_told(port):
    with pytest.raises(EdgedraftError) as error:
        listen(port)
    assert str(error.value) == f"--port: expected 0..65535, got {port}"


def test_a_port_can_be_listened_on_again_at_once():
    with listen(0) as first:
        port = first.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            first.accept()[0].close()
    listen(port).close()


def test_only_addresses_that_others_can_use_are_kept_once_each_in_order():
    found = reachable(["192.168.1.7", "127.0.1.1", "10.0.0.2", "192.168.1.7", "169.254.3.4", "0.0.0.0", "224.0.0.1"])
    assert found == ("192.168.1.7", "10.0.0.2")
