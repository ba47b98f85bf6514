"""edgedraft serve in a process of its own: OpenAI's client, a crowd of clients, and every mistake in one line."""

import json
import re
import signal
import socket
import subprocess
import sys
import time

import openai
import pytest

from edgedraft import load
from edgedraft.__main__ import main
from edgedraft.runtime.engine import DecodingOptions
from tests.benchmarks.serving import ServeProcess, answers_alone, crowd_of_clients, serve_process

PLAIN = DecodingOptions(speculate=False)
QUESTION = [{"role": "user", "content": "sort the list"}]
LIMIT = 24
PROMPTS = [
    [{"role": "user", "content": f"{first} {second} of the list"}]
    for first in ("sort", "merge", "print", "return")
    for second in ("left", "right", "value", "index")
]


@pytest.fixture(scope="module")
def server(tiny_bundle):
    options = ("--parallel", "4", "--queue", "32", "--model-name", "tiny", "--exact", "--threads", "2")
    with serve_process(tiny_bundle, *options) as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none", max_retries=0) as opened:
        yield opened


@pytest.fixture(scope="module")
def alone(tiny_bundle):
    """The target's own texts, decoded in this process."""
    engine = load(tiny_bundle, exact=True, threads=2)
    return lambda messages: engine.generate(messages, max_new_tokens=LIMIT, options=PLAIN)


def metric(server, name):
    return float(re.findall(rf"^edgedraft_{name} (\S+)$", server.get("/metrics"), re.M)[0])


def test_openais_client_gets_the_targets_text(client, alone):
    expected = alone(QUESTION)
    answer = client.chat.completions.create(model="tiny", messages=QUESTION, max_tokens=LIMIT)
    assert answer.choices[0].message.content == expected.text
    assert answer.usage.completion_tokens == expected.usage.completion_tokens
    assert answer.model_extra["timings"]["predicted_n"] == expected.usage.completion_tokens
    stream = client.chat.completions.create(model="tiny", messages=QUESTION, max_tokens=LIMIT, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == expected.text


def test_a_biased_text_with_drafts_is_that_without(client):
    bias = {"300": 6, "301": -9, "310": 4}
    texts = {
        client.chat.completions.create(
            model="tiny", messages=QUESTION, max_tokens=LIMIT, logit_bias=bias, extra_body={"speculate": speculate}
        )
        .choices[0]
        .message.content
        for speculate in (True, False)
    }
    assert len(texts) == 1


def test_a_client_that_goes_away_frees_its_slot(client, server):
    long = [{"role": "user", "content": "list of the sort of a list to merge"}]
    stream = client.chat.completions.create(model="tiny", messages=long, max_tokens=200, stream=True)
    next(iter(stream))
    stream.close()
    end = time.monotonic() + 5
    while metric(server, "answers_running"):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_32_clients_at_once_get_the_text_of_their_prompt_alone(server, alone):
    texts, _ = answers_alone(server, PROMPTS, speculate=False, max_tokens=LIMIT)
    assert texts[:4] == [alone(messages).text for messages in PROMPTS[:4]]
    record = crowd_of_clients(server, PROMPTS, texts, clients=32, seconds=3, max_tokens=LIMIT)
    assert (record.lost, record.differing) == ([], [])
    assert record.statuses[200] >= 32
    assert set(record.statuses) <= {200, 429}
    assert (metric(server, "answers_running"), metric(server, "answers_waiting")) == (0, 0)


def test_a_crowd_beyond_the_queue_is_refused_and_nothing_is_lost(tiny_bundle):
    with serve_process(tiny_bundle, "--parallel", "1", "--queue", "2", "--threads", "2", "--exact") as small:
        texts, _ = answers_alone(small, PROMPTS[:2], max_tokens=LIMIT)
        record = crowd_of_clients(small, PROMPTS[:2], texts, clients=12, seconds=1, max_tokens=LIMIT)
    assert (record.lost, record.differing) == ([], [])
    assert record.statuses[200] > 0
    assert record.statuses[429] > 0


def test_ctrl_c_ends_it_with_a_summary(tiny_bundle):
    command = [sys.executable, "-m", "edgedraft", "serve", str(tiny_bundle), "--port", "0", "--json", "--threads", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        lines = [process.stderr.readline() for _ in range(3)]
        port = int(lines[0].rpartition(":")[2].partition("/")[0])
        assert ServeProcess(process=process, port=port).get("/health") == '{"status":"ok"}'
        process.send_signal(signal.SIGINT)
        out, rest = process.communicate(timeout=30)
    assert re.fullmatch(r"Serving tiny at http://127\.0\.0\.1:\d+/v1\n", lines[0])
    assert lines[1].startswith("4 slots of 512 tokens, 32 places to wait; texts are ")
    assert re.fullmatch(r"Several answers (share passes|take turns, pass by pass)\.\n", lines[2])
    assert (process.returncode, json.loads(out), rest) == (0, {"requests": {}}, "")


# --- mistakes ---------------------------------------------------------------------------------------------------------


def refusal(capsys, *arguments):
    assert main(["serve", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("name", ["starlette", "uvicorn"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    assert refusal(capsys, tmp_path) == f'edgedraft: {name} is not installed - pip install "edgedraft[serve]"'


def test_mistakes_are_one_line(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refusal(capsys, tmp_path, "--port", port) == (
            f"edgedraft: port {port} of 127.0.0.1 is taken - end the other server, or choose another --port"
        )
    assert (
        refusal(capsys, tmp_path, "--api-key", " ") == "edgedraft: --api-key: expected a key that is not empty, got ' '"
    )
    assert "edgedraft.json" in refusal(capsys, tmp_path, "--port", "0")
    assert refusal(capsys, tmp_path, "--host", "203.0.113.9", "--port", "0").startswith(
        "edgedraft: port 0 of 203.0.113.9 cannot be listened on"
    )
