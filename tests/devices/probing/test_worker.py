"""The probe's process: what it opens it times as asked, what it cannot open it tells, and its end is an error."""

import io
import json
import sys
import time

import pytest

from edgedraft.devices.probing import child as probe_child
from edgedraft.devices.probing.child import working
from edgedraft.devices.probing.graphs import FP32, INT4, INT8_DYNAMIC, GraphSpec, build_chain
from edgedraft.devices.probing.worker import READER, Job, OpenedGraph, Request, TimingTurn, serve
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.records import from_plain, to_plain

GRAPHS = (
    GraphSpec(precision=FP32, width=32, weight_bytes=1),
    GraphSpec(precision=INT4, width=128, weight_bytes=50_000),
    GraphSpec(precision=INT8_DYNAMIC, width=128, weight_bytes=50_000),
    GraphSpec(precision=READER, width=64, weight_bytes=64_000),
)
JOB = Job(provider="cpu", threads=2, graphs=GRAPHS)
TURN = TimingTurn(
    requests=(
        Request(graph=0, rows=1, runs=3, unmeasured=2),
        Request(graph=1, rows=5),
        Request(graph=3, rows=1, runs=2),
    ),
    seconds=60.0,
)


def served(*lines: object, job: Job = JOB, clock=time.perf_counter) -> list:
    told = io.StringIO("".join(json.dumps(to_plain(line)) + "\n" for line in (job, *lines)))
    answers = io.StringIO()
    serve(told, answers, clock)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


class Ticks:
    """A clock that moves on by a second whenever it is read."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_graphs_are_told_as_they_were_built():
    opened = [from_plain(OpenedGraph, line, "line") for line in served()]
    chains = [build_chain(spec) for spec in GRAPHS[:3]]
    sizes = [(each.layers, each.weight_bytes) for each in opened]
    assert sizes == [*((chain.layers, chain.weight_bytes) for chain in chains), (1, 64_000)]
    assert opened[0].kernels == "stock", "no own kernel computes fp32"


def test_a_turn_is_timed_request_by_request_pass_by_pass():
    first, second = served(TURN, TURN)[len(GRAPHS) :]
    for taken in (first, second):
        assert [len(seconds) for seconds in taken] == [3, 1, 2]
        assert all(0 < each < 5 for seconds in taken for each in seconds)


def test_only_the_pass_itself_is_timed():
    (taken,) = served(TURN, clock=Ticks())[len(GRAPHS) :]
    assert taken == [[1.0] * 3, [1.0], [1.0] * 2]


def test_requests_not_begun_in_time_are_left_out():
    turn = TimingTurn(requests=TURN.requests, seconds=6.5)
    (taken,) = served(turn, clock=Ticks())[len(GRAPHS) :]
    assert [len(seconds) for seconds in taken] == [3]


def test_a_graph_that_cannot_be_opened_is_told_and_the_others_go_on():
    job = Job(provider="cpu", threads=2, graphs=(GraphSpec(precision="int3", width=128, weight_bytes=1), GRAPHS[1]))
    broken, good = (from_plain(OpenedGraph, line, "line") for line in served(job=job))
    assert broken.error.startswith("probe: expected one of int4, ")
    assert broken.error.endswith(", got int3")
    assert good.error == ""


def test_a_provider_that_is_not_there_opens_nothing():
    job = Job(provider="abacus", threads=2, graphs=GRAPHS[:1])
    (line,) = served(job=job)
    assert "provider: this onnxruntime offers " in line["error"]
    assert "got abacus" in line["error"]


# --- as a process ----------------------------------------------------------------------------------------------------


def test_a_process_serves_and_ends_with_its_block():
    with working(Job(provider="cpu", threads=1, graphs=GRAPHS[:2]), 60.0) as worker:
        assert [opened.error for opened in worker.opened()] == ["", ""]
        taken = worker.take(TimingTurn(requests=TURN.requests[:2], seconds=60.0))
        child = worker._child
    assert [len(seconds) for seconds in taken] == [3, 1]
    assert child.poll() is not None


def failing(monkeypatch, program: str, seconds: float = 60.0) -> EdgedraftError:
    """What a worker says whose program is this one."""
    monkeypatch.setattr(probe_child, "_WORKER", ("-c", program))
    with pytest.raises(EdgedraftError) as error, working(JOB, seconds) as worker:
        list(worker.opened())
    return error.value


REMEDY = "close other programs, or give the probe more seconds"


def test_a_process_that_dies_is_told_by_its_last_words(monkeypatch):
    program = "import sys; sys.stdin.readline(); print('out of\\nmemory', file=sys.stderr); sys.exit(3)"
    assert str(failing(monkeypatch, program)) == (
        f"probe: the process that measures cpu with 2 threads ended, got memory - {REMEDY}"
    )


def test_a_process_that_dies_silently_is_told_by_its_status(monkeypatch):
    program = "import sys; sys.stdin.readline(); sys.exit(3)"
    assert str(failing(monkeypatch, program)) == (
        f"probe: the process that measures cpu with 2 threads ended, got exit status 3 - {REMEDY}"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="a killed process has another exit status there")
def test_a_process_that_hangs_is_killed_when_its_time_is_up(monkeypatch):
    began = time.monotonic()
    error = failing(monkeypatch, "import time; time.sleep(600)", seconds=0.3)
    assert str(error) == f"probe: the process that measures cpu with 2 threads ended, got exit status -9 - {REMEDY}"
    assert time.monotonic() - began < 30
