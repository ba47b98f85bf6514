"""Errors have OpenAI's form, access is guarded, the queue is bounded, and who goes away frees a slot."""

import contextlib
import itertools
import json
import socket
import threading
import time

import openai
import pytest

from edgedraft.runtime.serving.guard import MAX_POST_BYTES

MESSAGES = [{"role": "user", "content": "hello"}]
CHAT = "/v1/chat/completions"
BODY = {"model": "small", "messages": MESSAGES, "max_tokens": 4}


def error_of(reply):
    assert set(reply.json) == {"error"}
    error = reply.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert reply.headers["content-type"] == "application/json"
    return error


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{broken", "the body: not valid JSON"),
        (b"", "the body: not valid JSON"),
        (b"\xff", "the body: not valid JSON"),
        (b"[" * 5000, "the body: not valid JSON"),
        (b'{"messages": NaN}', "the body: not valid JSON"),
        (b"[]", "the body: expected a JSON object"),
    ],
)
def test_what_is_no_request_is_refused(small, body, message):
    reply = small.ask(CHAT, body)
    error = error_of(reply)
    assert (reply.status, error["type"]) == (400, "invalid_request_error")
    assert error["message"].startswith(message)


def test_a_body_that_is_too_large_is_refused(small):
    reply = small.ask(CHAT, b" " * (MAX_POST_BYTES + 1))
    assert (reply.status, error_of(reply)["message"]) == (413, "expected at most 1,048,576 bytes")


def test_only_json_is_taken(small):
    assert small.ask(CHAT, BODY, Content_Type="text/plain").status == 415


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        *(("/v1/nothing", "GET", 404), ("/v1/nothing", "POST", 404), (CHAT, "GET", 405), (CHAT, "DELETE", 405)),
        *(("/v1/models", "POST", 405), ("/", "GET", 404), ("/v1/models/other", "GET", 404)),
    ],
)
def test_an_unknown_address_or_way_is_refused(small, path, method, status):
    reply = small.ask(path, b"" if method == "POST" else None, method)
    assert (reply.status, error_of(reply)["type"]) == (status, "invalid_request_error")


def test_the_client_gets_the_errors_it_knows(small):
    with small.client() as client:
        create = client.chat.completions.create
        with pytest.raises(openai.NotFoundError) as unknown:
            create(model="gpt-4o", messages=MESSAGES)
        assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
        with pytest.raises(openai.BadRequestError) as several:
            create(model="small", messages=MESSAGES, n=2)
        assert (several.value.param, several.value.code) == ("n", "unsupported_value")
        long = [{"role": "user", "content": "word " * 100}]
        for options in ({}, {"stream": True}):
            with pytest.raises(openai.BadRequestError, match="shorter than the context of 256 tokens") as too_long:
                create(model="small", messages=long, **options)
            assert too_long.value.code == "context_length_exceeded"
        with pytest.raises(openai.BadRequestError, match="the chat template must show every message") as hidden:
            create(model="small", messages=MESSAGES, tools=[{"type": "function", "function": {"name": "f"}}])
        assert hidden.value.param == "tools"
        with pytest.raises(openai.BadRequestError, match=r"logit_bias: token ids must lie in 0\.\.256, got 999"):
            create(model="small", messages=MESSAGES, logit_bias={"999": 1})
        with pytest.raises(openai.BadRequestError, match=r"prompt: token ids must lie in 0\.\.256, got 257"):
            client.completions.create(model="small", prompt=[257])


def test_a_fault_of_the_server_is_said_as_one(served, ledger_bundle):
    with served(ledger_bundle) as running:

        def fail(*asked, **options):
            raise RuntimeError("a secret")

        running.engine.rounds = fail
        for stream in (False, True):
            reply = running.ask(CHAT, {**BODY, "stream": stream})
            error = error_of(reply)
            assert (reply.status, error["type"]) == (500, "server_error")
            assert "secret" not in error["message"]
        del running.engine.rounds
        assert running.ask(CHAT, BODY).status == 200


def test_a_stream_that_fails_half_way_ends_with_the_error(served, ledger_bundle):
    with served(ledger_bundle) as running:
        decode = running.engine.rounds

        def fail(*asked, **options):
            for place, round_ in enumerate(decode(*asked, **options)):
                if place == 5:
                    raise RuntimeError("a secret")
                yield round_

        running.engine.rounds = fail
        reply = running.ask(CHAT, {**BODY, "max_tokens": 20, "stream": True})
        *_, last = reply.body.decode().removesuffix("\n\n").split("\n\n")
        assert json.loads(last.removeprefix("data: "))["error"]["type"] == "server_error"


# --- what curl sees -------------------------------------------------------------------------------------------------


def test_a_plain_post_is_enough(small):
    reply = small.ask(CHAT, BODY)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json["choices"][0]["message"]["content"] == small.alone(MESSAGES, 4)
    events = small.ask(CHAT, {**BODY, "stream": True}).events
    assert [event["object"] for event in events] == ["chat.completion.chunk"] * len(events)
    assert small.ask("/chat/completions", BODY).status == 200


def test_the_fields_that_llama_cpps_page_sends_are_taken(small):
    page = {
        "stream": True,
        "reasoning_format": "auto",
        "return_progress": False,
        "timings_per_token": True,
        "temperature": 0.8,
        "top_k": 40,
        "top_p": 0.95,
        "min_p": 0.05,
        "typ_p": 1,
        "xtc_probability": 0,
        "dynatemp_range": 0,
        "dynatemp_exponent": 1,
        "xtc_threshold": 0.1,
        "repeat_last_n": 64,
        "repeat_penalty": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "dry_multiplier": 0,
        "dry_base": 1.75,
        "dry_allowed_length": 2,
        "dry_penalty_last_n": -1,
        "samplers": [],
        "max_tokens": -1,
        "cache_prompt": True,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
    }
    *_, last = small.ask(CHAT, page).events
    assert last["timings"]["predicted_n"] > 0


# --- who may ask ----------------------------------------------------------------------------------------------------


def test_without_the_key_there_is_only_health(served, ledger_bundle):
    with served(ledger_bundle, api_key="right") as running:
        assert running.ask("/health").json == {"status": "ok"}
        for path, body in (("/v1/models", None), ("/metrics", None), (CHAT, BODY)):
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic right"}):
                reply = running.ask(path, body, **headers)
                assert (reply.status, error_of(reply)["code"]) == (401, "invalid_api_key")
            assert running.ask(path, body, Authorization="Bearer right").status == 200
        with running.client(api_key="right") as client:
            assert client.models.list().data[0].id == "small"
        assert running.ask("/v1/models", Authorization="Bearer right", Host="box.lan").status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "192.168.1.2"])
def test_a_name_that_was_pointed_at_this_machine_is_refused(small, host):
    assert small.ask("/v1/models", Host=host).status == 403
    assert small.ask(CHAT, BODY, Host=host).status == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:9", "127.9.9.9"])
def test_local_names_are_answered(small, host):
    assert small.ask("/v1/models", Host=host).status == 200


def test_a_page_of_another_site_is_refused_unless_it_is_allowed(small, served, ledger_bundle):
    assert small.ask(CHAT, BODY, Origin="https://evil.example").status == 403
    assert small.ask(CHAT, BODY, Origin=f"http://127.0.0.1:{small.port}").status == 200
    with served(ledger_bundle, cors_origins=("https://good.example",), api_key="k") as running:
        asked = {"Origin": "https://good.example", "Access_Control_Request_Method": "POST"}
        allowed = running.ask(CHAT, None, "OPTIONS", **asked, Access_Control_Request_Headers="authorization")
        assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (200, "https://good.example")
        reply = running.ask(CHAT, BODY, Origin="https://good.example", Authorization="Bearer k")
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, "https://good.example")
        other = running.ask(CHAT, BODY, Origin="https://evil.example", Authorization="Bearer k")
        assert (other.status, "access-control-allow-origin" in other.headers) == (403, False)


# --- slots and the queue --------------------------------------------------------------------------------------------


@pytest.fixture
def held(small, eventually):
    """Nothing is decoded inside the block: the test has the turn."""

    @contextlib.contextmanager
    def hold():
        eventually(lambda: small.server._pool.load.running == 0)
        with small.server._pool._turns.taken():
            yield

    return hold


def load(small):
    now = small.server._pool.load
    return now.running, now.waiting


def post(small, body=BODY):
    """Send a request on a connection of its own, and return that."""
    link = socket.create_connection(("127.0.0.1", small.port), timeout=20)
    data = json.dumps(body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(data)}\r\n\r\n"
    link.sendall(head.encode() + data)
    return link


def test_one_request_too_many_is_told_when_to_come_back(small, held, eventually):
    with held():
        links = []
        for count in range(6):
            links.append(post(small))
            eventually(lambda count=count: sum(load(small)) == count + 1)
        assert load(small) == (2, 4)
        reply = small.ask(CHAT, BODY)
        error = error_of(reply)
        assert (reply.status, error["code"], error["type"]) == (429, "rate_limit_exceeded", "rate_limit_error")
        assert error["message"] == "all 2 slots and 4 places of the queue are taken - try again later"
        assert int(reply.headers["retry-after"]) >= 1
        with small.client() as client, pytest.raises(openai.RateLimitError):
            client.chat.completions.create(**BODY)
    for link in links:
        with link:
            assert link.makefile("rb").readline().startswith(b"HTTP/1.1 200")
    eventually(lambda: load(small) == (0, 0))


@pytest.mark.parametrize("stream", [False, True])
def test_who_goes_away_frees_the_slot_and_the_place(small, held, eventually, stream):
    gone = statuses(small).get("499", 0)
    with held():
        links = []
        for count in range(4):
            links.append(post(small, {**BODY, "stream": stream, "max_tokens": 200}))
            eventually(lambda count=count: sum(load(small)) == count + 1)
        links[3].close()  # it waits: its place is free at once
        eventually(lambda: load(small) == (2, 1))
        links[0].close()
    eventually(lambda: load(small) == (0, 0))
    for link in links[1:3]:
        with link:
            assert link.makefile("rb").readline().startswith(b"HTTP/1.1 200")
    eventually(lambda: statuses(small).get("499", 0) == gone + 2)


def test_a_stream_that_nobody_reads_any_more_ends(small, eventually):
    before = small.server.summary().get("generated_tokens_total", 0)
    slow = slow_down(small)
    with slow, post(small, {**BODY, "stream": True, "max_tokens": 200}) as link:
        assert b"data: " in link.recv(65536) + link.recv(65536)
    eventually(lambda: load(small) == (0, 0))
    assert small.server.summary().get("generated_tokens_total", 0) == before  # it was not decoded to its end


@contextlib.contextmanager
def slow_down(small):
    """Every round takes a moment."""
    decode = small.engine.rounds

    def rounds(*asked, **options):
        for round_ in decode(*asked, **options):
            time.sleep(0.02)
            yield round_

    small.engine.rounds = rounds
    try:
        yield
    finally:
        del small.engine.rounds


def statuses(small):
    return small.server.summary()["requests"]


def test_answers_at_once_are_interleaved_and_each_as_if_alone(small):
    """Of two streams that are decoded at once, neither ends before the other has begun."""
    prompts = ["first of two", "second of two"]
    seen, texts, barrier = [], {}, threading.Barrier(2)

    def run(prompt):
        with small.client() as client:
            barrier.wait()
            chunks = client.chat.completions.create(
                model="small", messages=[{"role": "user", "content": prompt}], max_tokens=60, stream=True
            )
            for chunk in chunks:
                seen.append(prompt)
                texts[prompt] = texts.get(prompt, "") + (chunk.choices[0].delta.content or "")

    with slow_down(small):
        threads = [threading.Thread(target=run, args=(prompt,)) for prompt in prompts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert texts == {prompt: small.alone(prompt, 60) for prompt in prompts}
    changes = sum(one != other for one, other in itertools.pairwise(seen))
    assert changes > 8  # one after the other would be 1


# --- counts ---------------------------------------------------------------------------------------------------------


def test_counts_are_prometheus_text(served, ledger_bundle):
    with served(ledger_bundle) as running:
        running.ask(CHAT, BODY)
        running.ask(CHAT, {**BODY, "n": 2})
        reply = running.ask("/metrics")
        assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
        lines = reply.body.decode().splitlines()
        values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        prompt = len(running.engine.codec.encode_chat(MESSAGES))
        assert values['edgedraft_requests_total{status="200"}'] == "1"
        assert values['edgedraft_requests_total{status="400"}'] == "1"
        assert values["edgedraft_generated_tokens_total"] == "4"
        assert values["edgedraft_prompt_tokens_total"] == str(prompt)
        assert (values["edgedraft_answers_running"], values["edgedraft_answers_waiting"]) == ("0", "0")
        assert float(values["edgedraft_generation_seconds_total"]) > 0
        named = {line.split()[2] for line in lines if line.startswith("# TYPE")}
        assert {name.partition("{")[0] for name in values} == named
