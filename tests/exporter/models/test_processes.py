"""A child process is quiet, its log stays, a failure quotes the log's last line, and its peak memory is told."""

import re
import sys
import time

import pytest

from edgedraft.exporter.models import processes
from edgedraft.exporter.models.processes import run_python
from edgedraft.runtime.base.errors import EdgedraftError

MEGABYTE = 2**20


def test_a_child_that_succeeds_tells_its_cost_and_prints_nothing(tmp_path, capfd):
    log = tmp_path / "logs" / "deep" / "child.log"
    code = "import sys; print('out'); print('err', file=sys.stderr); print(sys.argv[1:])"
    cost = run_python("unpacking tiny", ["-c", code, "a b", "c"], log)
    assert cost.what == "unpacking tiny"
    assert 0 < cost.seconds < 60
    assert sorted(log.read_text().split("\n")) == ["", "['a b', 'c']", "err", "out"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('working'); raise SystemExit('disk is full')", "disk is full"),
        ("raise ValueError('bad model')", "ValueError: bad model"),
        ("print('last words\\n\\n   '); raise SystemExit(3)", "last words"),
        ("raise SystemExit(3)", "exit status 3"),
        (
            "import sys; sys.stdout.buffer.write(b'\\xff broken'); raise SystemExit(1)",
            "\N{REPLACEMENT CHARACTER} broken",
        ),
    ],
)
def test_a_child_that_fails_is_quoted_and_its_log_stays(tmp_path, code, reason):
    log = tmp_path / "logs" / "child.log"
    with pytest.raises(EdgedraftError) as error:
        run_python("building tiny int4", ["-c", code], log)
    assert str(error.value) == f"building tiny int4 failed, got {reason} - the whole log is in {log}"
    assert log.is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_child_that_is_killed_fails(tmp_path):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(EdgedraftError, match=r"^child failed, got exit status -9 - "):
        run_python("child", ["-c", code], tmp_path / "log")


def test_each_run_starts_its_log_afresh(tmp_path):
    log = tmp_path / "log"
    run_python("first", ["-c", "print('first')"], log)
    run_python("second", ["-c", "print('second')"], log)
    assert log.read_text() == "second\n"


def test_an_interrupt_ends_the_child(tmp_path, monkeypatch):
    children = []

    def interrupted(child):
        children.append(child)
        raise KeyboardInterrupt

    monkeypatch.setattr(processes, "_wait", interrupted)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_python("child", ["-c", "import time; time.sleep(60)"], tmp_path / "log")
    assert time.monotonic() - started < 30
    assert children[0].returncode not in (None, 0)


def test_a_system_that_does_not_tell_memory_costs_no_peak(tmp_path, monkeypatch):
    monkeypatch.delattr(processes.os, "wait4", raising=False)
    assert run_python("child", ["-c", "pass"], tmp_path / "log").peak_bytes == 0
    with pytest.raises(EdgedraftError, match=re.escape(f"child failed, got no - the whole log is in {tmp_path}")):
        run_python("child", ["-c", "raise SystemExit('no')"], tmp_path / "log")
