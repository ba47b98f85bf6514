"""A forked child answers as its parent does, or is refused in one line; its parent never notices."""

import json
import os
import subprocess
import sys

import pytest

from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.onnx import providers
from edgedraft.runtime.onnx.session import SessionSettings, open_model

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

RULE = "a forked process cannot use ONNX Runtime where threads or a GPU stay with its parent"
REMEDY = "fork before the first bundle is opened, start processes by spawn, or open bundles with threads=1"

FORKING = """
import json, os, signal, sys
import edgedraft
from edgedraft.runtime.engine import DecodingOptions
from edgedraft.runtime.base.errors import EdgedraftError

path, threads = sys.argv[1], int(sys.argv[2])
engine = edgedraft.load(path, threads=threads, context_length=256)
texts = [[5 + (step * place) % 200 for step in range(40)] for place in (3, 7)]


def answer(text):
    rounds = engine.rounds(text, engine.limits(16), DecodingOptions(policy="fixed", draft_length=2))
    return [token for each in rounds for token in each.token_ids]


def attempt(work):
    try:
        return work()
    except EdgedraftError as error:
        return str(error)


def reopened():
    edgedraft.load(path, threads=threads, context_length=256)
    return "opened"


before = [answer(text) for text in texts]
answer(texts[0])  # the idle slot holds this text's keys and values
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    signal.alarm(60)
    os.write(writing, json.dumps([attempt(lambda: answer(texts[1])), attempt(reopened)]).encode())
    os._exit(0)
os.close(writing)
status = os.waitpid(child, 0)[1]
in_child = json.loads(os.read(reading, 100_000) or b"null")
print(json.dumps({"before": before, "status": status, "in_child": in_child, "after": answer(texts[0])}))
"""


@pytest.fixture
def forked(tiny_bundle):
    """Open the bundle with ``threads``, answer, fork, and answer again on both sides, in a process of its own."""

    def run(threads):
        command = [sys.executable, "-W", "ignore", "-c", FORKING, str(tiny_bundle), str(threads)]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout)

    return run


def test_with_one_thread_both_answer_as_before_the_fork(forked):
    found = forked(1)
    assert found["status"] == 0
    assert found["in_child"] == [found["before"][1], "opened"]
    assert found["after"] == found["before"][0] != found["before"][1]


def test_with_more_threads_the_child_is_refused_and_the_parent_goes_on(forked):
    found = forked(2)
    refusal = f"{RULE}, got its parent's pool of 2 threads - {REMEDY}"
    assert (found["status"], found["in_child"]) == (0, [refusal, refusal])
    assert found["after"] == found["before"][0]


@pytest.mark.parametrize(
    ("threads", "gpu", "passing", "lacking"),
    [
        (None, False, False, None),
        (1, False, False, None),
        (4, False, False, "its parent's pool of 4 threads"),
        (1, True, False, "its parent's GPU"),
        (1, False, True, "a fork while a pass ran"),
    ],
)
def test_what_a_child_lacks_is_noted(threads, gpu, passing, lacking, in_child, monkeypatch):
    def noted():
        return providers._left_behind == lacking and not providers._passing

    class Loaded:
        cache_info = staticmethod(lambda: type("Info", (), {"currsize": int(gpu)}))

    monkeypatch.setattr(providers, "_pool_threads", threads)
    monkeypatch.setattr(providers, "_register_webgpu", Loaded)
    monkeypatch.setattr(providers, "_passing", {1} if passing else set())
    assert in_child(noted)
    assert providers._left_behind is None


def test_a_pass_is_noted_while_it_runs():
    seen = []

    class Watched:
        def run_with_iobinding(self, binding):
            seen.append(len(providers._passing))
            raise RuntimeError("the pass fails")

    with pytest.raises(EdgedraftError, match="the pass fails"):
        providers.GuardedSession(Watched()).run_with_iobinding(None)
    assert (seen, providers._passing) == ([1], set())


def test_no_session_runs_or_opens_in_a_child_that_lacks_something(tiny_opened, monkeypatch):
    settings = SessionSettings(threads=2, context_length=64)
    model = open_model(tiny_opened.target.graph, settings)
    monkeypatch.setattr(providers, "_left_behind", "its parent's GPU")
    for attempt in (lambda: model.read([1]), lambda: open_model(tiny_opened.target.graph, settings)):
        with pytest.raises(EdgedraftError) as caught:
            attempt()
        assert str(caught.value) == f"{RULE}, got its parent's GPU - {REMEDY}"
    assert model.length == 0
