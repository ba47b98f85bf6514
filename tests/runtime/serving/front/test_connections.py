"""Late clients are dropped, room is made by those that owe most, and those that are being answered stay."""

import asyncio

import pytest

from edgedraft.runtime.serving.front.connections import Connection, Connections, Owed
from edgedraft.runtime.serving.front.limits import ClientLimits

LIMITS = ClientLimits(head_seconds=10, body_seconds=30, stall_seconds=60, per_client=3, total=5)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Transport(asyncio.Transport):
    """Notes how it was ended; ``unsent`` bytes wait in its buffer."""

    def __init__(self):
        super().__init__()
        self.ended, self.unsent = "", 0

    def abort(self):
        self.ended += "abort"

    def close(self):
        self.ended += "close"

    def get_write_buffer_size(self):
        return self.unsent


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def kept(clock):
    return Connections(LIMITS, clock)


def connected(kept, clock, client="phone"):
    connection = Connection(client, clock, lambda connection: asyncio.Protocol())
    connection.connection_made(Transport())
    kept.keep(connection)
    return connection


def ended(connection):
    return connection._transport.ended


def test_what_a_client_owes_follows_the_request(kept, clock):
    connection = connected(kept, clock)
    owed = [connection.owed]
    connection.begin(body=True)
    owed.append(connection.owed)
    connection.body_ended()
    owed.append(connection.owed)
    connection.pause_writing()
    owed.append(connection.owed)
    connection.resume_writing()
    owed.append(connection.owed)
    connection.end()
    owed.append(connection.owed)
    assert owed == [Owed.HEAD, Owed.BODY, None, Owed.READING, None, Owed.HEAD]


def test_a_request_that_begins_before_the_last_one_ended_is_not_owed(kept, clock):
    connection = connected(kept, clock)
    connection.begin(body=False)
    connection.begin(body=False)
    connection.end()
    assert connection.owed is None


@pytest.mark.parametrize(("body", "seconds"), [(None, 10), (True, 30)])
def test_a_late_client_is_closed_and_then_dropped(kept, clock, body, seconds):
    connection = connected(kept, clock)
    if body:
        connection.begin(body=True)
    clock.now = seconds
    kept.sweep()
    assert ended(connection) == ""
    clock.now += 1
    kept.sweep()
    assert ended(connection) == "close"
    clock.now += 59
    kept.sweep()
    assert ended(connection) == "close"
    clock.now += 2
    kept.sweep()
    assert ended(connection) == "closeabort"


def test_an_answer_may_take_any_time_while_the_client_waits(kept, clock):
    connection = connected(kept, clock)
    connection.begin(body=False)
    clock.now = 10_000
    kept.sweep()
    assert ended(connection) == ""


def test_a_slow_reader_stays_as_long_as_it_reads(kept, clock):
    connection = connected(kept, clock)
    connection.begin(body=False)
    connection._transport.unsent = 100_000
    connection.pause_writing()
    for _ in range(10):
        clock.now += 50
        connection._transport.unsent -= 1
        kept.sweep()
    assert ended(connection) == ""
    clock.now += 61
    kept.sweep()
    assert ended(connection) == "abort"


def test_a_handshake_that_takes_too_long_is_cancelled(kept, clock):
    cancelled = []
    connection = Connection("phone", clock, lambda connection: asyncio.Protocol())
    connection.cancel = lambda: cancelled.append(True)
    kept.keep(connection)
    clock.now = 11
    kept.sweep()
    assert cancelled == [True]


def test_room_for_a_client_is_made_by_its_own_oldest(kept, clock):
    stranger = connected(kept, clock, "stranger")
    own = []
    for clock.now in (1, 2, 3):
        own.append(connected(kept, clock))
    assert kept.make_room("phone")
    assert [ended(each) for each in own] == ["abort", "", ""]
    assert ended(stranger) == ""
    assert len(kept) == 3


def test_sending_rubbish_keeps_nobody_young(kept, clock):
    busy = connected(kept, clock)
    clock.now = 1
    user = connected(kept, clock)
    clock.now = 2
    busy.begin(body=False)
    busy.end()
    connected(kept, clock)
    assert kept.make_room("phone")
    assert (ended(busy), ended(user)) == ("abort", "")


def test_room_for_all_is_made_by_the_oldest_of_all(kept, clock):
    oldest = connected(kept, clock, "0")
    for clock.now in (1, 2, 3, 4):
        connected(kept, clock, str(clock.now))
    assert kept.make_room("new")
    assert ended(oldest) == "abort"
    assert len(kept) == 4


def test_those_that_owe_a_head_go_before_those_that_owe_a_body(kept, clock):
    posting = connected(kept, clock)
    posting.begin(body=True)
    clock.now = 1
    idle, other = connected(kept, clock), connected(kept, clock)
    assert kept.make_room("phone")
    assert (ended(posting), ended(idle), ended(other)) == ("", "abort", "")


def test_what_is_answered_is_never_dropped_for_room(kept, clock):
    answered = [connected(kept, clock) for _ in range(3)]
    for each in answered:
        each.begin(body=False)
    assert not kept.make_room("phone")
    assert kept.make_room("stranger")
    assert not kept.free_one()
    assert [ended(each) for each in answered] == ["", "", ""]


def test_a_download_makes_room_only_when_it_surely_stalled(kept, clock):
    connection = connected(kept, clock)
    connection.begin(body=False)
    connection.pause_writing()
    clock.now = 5
    assert not kept.free_one()
    clock.now = 6
    assert kept.free_one()
    assert ended(connection) == "abort"


def test_a_lost_connection_is_kept_no_longer(kept, clock):
    connection = connected(kept, clock)
    connection.connection_lost(None)
    assert len(kept) == 0


def test_an_idle_connection_makes_no_protocol(clock):
    connection = Connection("phone", clock, lambda connection: pytest.fail("made"))
    connection.connection_made(Transport())
    connection.pause_writing()
    connection.resume_writing()
    assert connection.eof_received() is None
    connection.connection_lost(None)


def test_everything_is_passed_on(clock):
    heard = []

    class Http(asyncio.Protocol):
        def connection_made(self, transport):
            heard.append("made")

        def data_received(self, data):
            heard.append(data)

        def eof_received(self):
            return True

        def pause_writing(self):
            heard.append("pause")

        def resume_writing(self):
            heard.append("resume")

        def connection_lost(self, exc):
            heard.append("lost")

    connection = Connection("phone", clock, lambda connection: Http())
    connection.connection_made(Transport())
    connection.data_received(b"GET")
    connection.pause_writing()
    connection.resume_writing()
    assert connection.eof_received() is True
    connection.connection_lost(None)
    assert heard == ["made", b"GET", "pause", "resume", "lost"]
