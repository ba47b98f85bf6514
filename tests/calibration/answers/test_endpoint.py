"""The law of the endpoint: whatever a server does, every answer it gave is kept, and only the missing are asked again.

A real HTTP server in a thread speaks the protocol and misbehaves on schedule; its "model" answers with the prompt
spelt backwards.
"""

import asyncio
import json
import pickle
import random
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgedraft.calibration.answers.batched import Draws
from edgedraft.calibration.answers.completions import AnswerSpec
from edgedraft.calibration.answers.endpoint import EndpointAnswering
from edgedraft.calibration.answers.retries import Pause
from edgedraft.calibration.answers.sampling import Question, SampledAnswer, answer_all, read_journal
from edgedraft.calibration.answers.server import Endpoint
from edgedraft.calibration.prompts import RANK, Prompt
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.core.limits import Limits
from edgedraft.runtime.core.sampling import SamplingSettings
from edgedraft.runtime.text.codec import TextCodec

END_TOKEN = "</s>"
GO_ON = "run the same command again to go on"


@dataclass(kw_only=True)
class Reply:
    """One answer of the server. ``fault`` breaks the connection instead, or hangs."""

    status: int = 200
    body: object = None
    headers: dict = field(default_factory=dict)
    fault: str = ""


def failed(status, message="overloaded", **headers) -> Reply:
    return Reply(status=status, body={"error": {"message": message}}, headers=headers)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.server.connections.append(self.connection)

    def log_message(self, *_):
        pass

    def do_GET(self):
        lists = self.server.model_lists
        self.answer(lists.pop(0) if len(lists) > 1 else lists[0])

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.counted():
            self.answer(self.server.reply_to(self.path, body, dict(self.headers)))

    def answer(self, reply):
        if reply.fault == "hang" and not self.server.released.wait(20):
            self.server.waited_out = True
        if reply.fault:
            self.break_off(reply)
            return
        content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(content)), **reply.headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def break_off(self, reply):
        """Reset the connection, with half an answer sent where the fault is "half"."""
        if reply.fault == "half":
            self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"choices": [{"te')
            self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


class Server(ThreadingHTTPServer):
    """What it is told to do to a prompt's requests is in ``faults``, by the prompt's text, in order."""

    def __init__(self, codec) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.codec = codec
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        self.model_lists = [Reply(body={"data": [{"id": "backwards"}]})]
        self.faults: dict[str, list[Reply]] = {}
        self.refuse = lambda path, body: None
        self.asked: list[str] = []
        self.bodies: list[dict] = []
        self.headers: list[dict] = []
        self.released = threading.Event()
        self.waited_out = False
        self.connections: list[socket.socket] = []
        self.meeting = 0
        self.met = threading.Event()
        self.inside = self.most_inside = 0
        self.lock = threading.Lock()

    def handle_error(self, *_):
        pass

    def counted(self):
        return Counted(self)

    def reply_to(self, path, body, headers) -> Reply:
        text = self.prompt_text(body)
        with self.lock:
            self.asked.append(text)
            self.bodies.append(body)
            self.headers.append(headers)
            fault = self.faults[text].pop(0) if self.faults.get(text) else None
        if self.meeting:
            self.met.wait(5)
        return fault or self.refuse(path, body) or self.backwards(path, text)

    def prompt_text(self, body) -> str:
        prompt = body["messages"][0]["content"] if "messages" in body else body["prompt"]
        return prompt if isinstance(prompt, str) else self.codec.decode(prompt)

    def backwards(self, path, text) -> Reply:
        said = {"message": {"content": text[::-1]}} if "chat" in path else {"text": text[::-1]}
        return Reply(body={"choices": [said | {"finish_reason": "stop"}]})


class Counted:
    """How many requests are inside at once; the first wait until ``meeting`` of them are."""

    def __init__(self, server) -> None:
        self.server = server

    def __enter__(self):
        with self.server.lock:
            self.server.inside += 1
            self.server.most_inside = max(self.server.most_inside, self.server.inside)
            if self.server.inside >= self.server.meeting:
                self.server.met.set()

    def __exit__(self, *_):
        with self.server.lock:
            self.server.inside -= 1


@pytest.fixture(scope="module")
def codec(tmp_path_factory) -> TextCodec:
    """A byte-level tokenizer without merges: one token a byte, and the end of turn."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {sign: number for number, sign in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END_TOKEN])
    folder = tmp_path_factory.mktemp("codec")
    tokenizer.save(str(folder / "tokenizer.json"))
    return TextCodec(folder)


@pytest.fixture
def server(codec):
    server = Server(codec)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def answering(server, codec, waits):
    """``answering(**changes)`` asks the server; waits are written down and not waited."""

    async def sleep(seconds):
        waits.append(seconds)

    def build(draws=None, room=50, **changes):
        endpoint = Endpoint(**{"url": server.url, "concurrency": 3, "retries": 3, "timeout_seconds": 20.0} | changes)
        end = codec.encode(END_TOKEN)[0]
        limits = Limits(max_new_tokens=room, end_token_ids=(end,))
        pause = Pause(sleep=sleep, draw=lambda: 0.5)
        spec = AnswerSpec(limits=limits, vocab_size=257, draws=draws)
        return EndpointAnswering(endpoint=endpoint, codec=codec, spec=spec, pause=pause)

    return build


def prompt(text) -> Prompt:
    return Prompt(id=f"id {text}", split=RANK, messages=({"role": "user", "content": text},))


PROMPTS = tuple(prompt(f"prompt number {number}") for number in range(10))
TEXTS = [each.messages[0]["content"] for each in PROMPTS]


@pytest.fixture
def questions(codec) -> list[Question]:
    return [Question(prompt=each, prompt_ids=tuple(codec.encode_chat(each.messages))) for each in PROMPTS]


@pytest.fixture
def right(codec) -> list[SampledAnswer]:
    """What the server answers when nothing goes wrong."""
    return [
        SampledAnswer(
            prompt_id=each.id,
            prompt_ids=tuple(codec.encode(text)),
            token_ids=tuple(codec.encode(text[::-1] + END_TOKEN)),
        )
        for each, text in zip(PROMPTS, TEXTS, strict=True)
    ]


def by_id(answers) -> list[SampledAnswer]:
    return sorted(answers, key=lambda answer: answer.prompt_id)


def message_of(answering, questions) -> str:
    """The one line of a run that must fail."""
    with pytest.raises(EdgedraftError) as error:
        list(answering(questions))
    assert "\n" not in str(error.value)
    return str(error.value)


def threads_left() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "edgedraft-endpoint"]


def hung_up(connection: socket.socket) -> bool:
    """Whether the other end has closed, which is seen as the end of what can be read, a request not yet read or not."""
    if connection.fileno() < 0:
        return True
    connection.settimeout(10)
    try:
        while connection.recv(65536):
            pass
        return True
    except TimeoutError:
        return False
    except OSError:
        return True


# --- a server that works ---------------------------------------------------------------------------------------------


def test_every_question_is_answered_once(server, answering, questions, right):
    assert by_id(answering()(questions)) == right
    assert sorted(server.asked) == TEXTS
    assert sorted(body["prompt"] for body in server.bodies) == sorted(list(each.prompt_ids) for each in questions)
    assert {body["model"] for body in server.bodies} == {"backwards"}
    assert threads_left() == []


def test_no_question_asks_no_server(answering):
    assert list(answering(url="http://127.0.0.1:1/v1")([])) == []


@given(data=st.data())
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_answers_do_not_depend_on_order_or_number_at_once(server, answering, questions, right, data):
    order = data.draw(st.permutations(questions))
    at_once = data.draw(st.integers(1, 12))
    draws = data.draw(st.sampled_from([None, Draws(settings=SamplingSettings(), seed=4)]))
    server.bodies.clear()
    assert by_id(answering(draws=draws, concurrency=at_once)(order)) == right
    sent = {tuple(body["prompt"]): body for body in server.bodies}
    server.bodies.clear()
    list(answering(draws=draws, concurrency=1)(questions))
    assert {tuple(body["prompt"]): body for body in server.bodies} == sent


@pytest.mark.parametrize("at_once", [1, 3, 4])
def test_as_many_requests_as_allowed_are_out_and_no_more(server, answering, questions, right, at_once):
    server.meeting = at_once
    assert by_id(answering(concurrency=at_once)(questions)) == right
    assert server.met.is_set()
    assert server.most_inside == at_once


def test_a_slow_reader_holds_back_the_questions(server, answering, questions):
    """Whoever takes one answer of many has caused no more requests than that one and those that may be out."""
    answers = answering(concurrency=2)(questions)
    next(answers)
    time.sleep(0.05)
    assert len(server.asked) <= 4
    answers.close()
    assert len(server.asked) <= 4


def test_a_key_is_sent_and_only_where_there_is_one(server, answering, questions):
    list(answering(api_key="secret")(questions[:1]))
    list(answering()(questions[:1]))
    assert [headers.get("Authorization") for headers in server.headers] == ["Bearer secret", None]


def test_an_answer_is_cut_at_its_limit(answering, questions, right):
    got = by_id(answering(room=5)(questions))
    assert got == [replace(answer, token_ids=answer.token_ids[:5]) for answer in right]


def test_it_works_inside_a_running_event_loop(answering, questions, right):
    async def notebook():
        return list(answering()(questions))

    assert by_id(asyncio.run(notebook())) == right


def test_a_worker_can_be_sent_it(server, codec, answering, questions, right):
    job = answering()
    shipped = pickle.loads(pickle.dumps(EndpointAnswering(endpoint=job.endpoint, codec=codec, spec=job.spec)))
    assert by_id(shipped(questions)) == right


# --- faults that pass ------------------------------------------------------------------------------------------------

PASSING = {
    "reset": [Reply(fault="reset")],
    "half an answer": [Reply(fault="half"), Reply(fault="half")],
    "500 twice": [failed(500), failed(500)],
    "busy": [failed(429), failed(503), failed(502)],
    "garbage": [Reply(body=b"{not json"), Reply(body=b"\xff\xfe"), Reply(body=b"")],
    "no choices": [Reply(body={"choices": []}), Reply(body=[1]), Reply(body="text")],
    "empty text": [Reply(body={"choices": [{"text": "", "finish_reason": "stop"}]})],
}


@pytest.mark.parametrize("name", PASSING)
def test_a_fault_that_passes_costs_only_another_try(server, answering, questions, right, waits, name):
    server.faults[TEXTS[4]] = list(PASSING[name])
    assert by_id(answering()(questions)) == right
    assert len(waits) == len(PASSING[name])
    assert Counter(server.asked) == Counter(TEXTS) + Counter({TEXTS[4]: len(PASSING[name])})


def test_a_server_that_hangs_is_asked_again(server, answering, questions, right, waits):
    server.faults[TEXTS[4]] = [Reply(fault="hang")]
    assert by_id(answering(timeout_seconds=0.5)(questions)) == right
    assert len(waits) == 1


def test_a_server_is_given_the_time_it_asks_for(server, answering, questions, right, waits):
    server.faults[TEXTS[0]] = [failed(429, Retry_After="33"), failed(429)]
    assert by_id(answering()(questions)) == right
    assert waits[0] == 33
    assert waits[1] < 3


def test_a_server_that_still_loads_is_waited_for(server, answering, questions, right, waits):
    server.model_lists[:0] = [failed(503, "Loading model")] * 2
    assert by_id(answering()(questions)) == right
    assert len(waits) == 2


# --- faults that stay ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["reset", "half", "hang", "500", "garbage"])
@pytest.mark.parametrize("at_once", [1, 4])
def test_what_was_answered_before_a_server_died_is_kept(server, codec, answering, right, tmp_path, fault, at_once):
    """From the seventh request on nothing works; the run after asks for the missing answers alone."""
    replies = {"500": failed(500), "garbage": Reply(body=b"<html>")}
    served = []

    def die(path, body):
        with server.lock:
            served.append(body)
            return replies.get(fault, Reply(fault=fault)) if len(served) > 6 else None

    server.refuse = die
    journal = tmp_path / "journal.jsonl"
    job = answering(concurrency=at_once, timeout_seconds=0.5, retries=1)
    with pytest.raises(EdgedraftError) as error:
        answer_all(job, codec, PROMPTS, journal)
    assert str(error.value).startswith(f"{server.url}: 6 of 10 prompts answered, then prompt id prompt number ")
    assert str(error.value).endswith(f" - {GO_ON}")
    kept = list(read_journal(journal))
    assert len(kept) == 6
    assert all(answer in right for answer in kept)
    assert threads_left() == []

    server.refuse = lambda path, body: None
    server.asked.clear()
    assert answer_all(answering(), codec, PROMPTS, journal) == right
    assert sorted(server.asked) == sorted(set(TEXTS) - {answer.prompt_id.removeprefix("id ") for answer in kept})


def test_a_failed_question_lets_the_others_that_are_out_finish(server, answering, questions, right):
    """The bad one is refused while two good ones are out with it; all that were asked come before the error."""
    server.faults[TEXTS[0]] = [failed(403)]
    server.meeting = 3
    got = []
    with pytest.raises(EdgedraftError):
        take_into(got, answering()(questions))
    assert len(got) >= 2
    assert {answer.prompt_id for answer in got} == {f"id {text}" for text in server.asked if text != TEXTS[0]}
    assert all(answer in right for answer in got)


def take_into(got, answers):
    for answer in answers:
        got.append(answer)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (failed(500), "HTTP 500: overloaded"),
        (failed(503, "try\n later "), "HTTP 503: try later"),
        (failed(429, "slow down", Retry_After="9999"), "HTTP 429: slow down"),
        (Reply(status=502, body=b""), "HTTP 502: Bad Gateway"),
        (Reply(status=500, body={"detail": "broken"}), "HTTP 500: broken"),
        (Reply(body={"choices": [{"text": "", "finish_reason": "stop"}]}), "an empty answer"),
        (Reply(fault="hang"), "no answer within 0.3 seconds"),
        (Reply(body={"error": "odd"}), "an answer without choices: does the address end in /v1?"),
    ],
)
def test_the_last_failure_is_told_in_one_line(server, answering, questions, fault, reason):
    server.faults[TEXTS[0]] = [fault] * 4
    job = answering(concurrency=1, timeout_seconds=0.3)
    expected = f"{server.url}: 0 of 10 prompts answered, then prompt id {TEXTS[0]} failed, got {reason} - {GO_ON}"
    assert message_of(job, questions) == expected


REFUSED = [
    (failed(401, "bad key"), "HTTP 401: bad key", "give a key that may use this model"),
    (failed(403, "not yours"), "HTTP 403: not yours", "give a key that may use this model"),
    (failed(404, "gone"), "HTTP 404: gone", "give an address that ends in /v1 and a model that is served there"),
    (failed(400, "context of 20"), "HTTP 400: context of 20", "mend or leave out the prompt"),
    (Reply(status=422, body={"detail": "no"}), "HTTP 422: no", "mend or leave out the prompt"),
    (Reply(status=302, body=b""), "HTTP 302: Found", "mend or leave out the prompt"),
]


@pytest.mark.parametrize(("fault", "reason", "remedy"), REFUSED)
def test_a_refusal_is_told_with_the_servers_words_and_not_tried_again(
    server, answering, questions, waits, fault, reason, remedy
):
    server.faults[TEXTS[3]] = [fault] * 9
    said = f"{server.url}: 3 of 10 prompts answered, then prompt id {TEXTS[3]} was refused, got {reason}"
    job = answering(concurrency=1)
    whole = f"{said} - {remedy}, then {GO_ON}"
    assert message_of(job, questions) == whole
    assert waits == []
    assert server.asked == TEXTS[:4]


def test_no_server_at_all(answering, questions):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        said = message_of(answering(url=url), questions)
    reason = "ConnectError: All connection attempts failed"
    assert said == f"{url}/models: no answer, got {reason} - start the server or mend the url"


def test_an_address_that_is_none(answering, questions):
    said = message_of(answering(url="http://127.0.0.1:port/v1"), questions)
    assert said == "http://127.0.0.1:port/v1/models: refused, got Invalid port: 'port' - mend the url"


# --- which model -----------------------------------------------------------------------------------------------------


def test_a_wrong_model_is_told_before_anything_is_asked(server, answering, questions):
    said = message_of(answering(model="forwards"), questions)
    assert said == f"{server.url}/models: expected model forwards, got backwards - name one that is served"
    assert server.asked == []


def test_a_wrong_key_is_told_before_anything_is_asked(server, answering, questions, waits):
    server.model_lists = [failed(401, "Invalid API Key")]
    expected = f"{server.url}/models: refused, got HTTP 401: Invalid API Key - give a key that may use this model"
    assert message_of(answering(api_key="secret"), questions) == expected
    assert (server.asked, waits) == ([], [])


def test_a_server_without_a_list_is_asked_by_the_name_given(server, answering, questions, right):
    server.model_lists = [failed(404, "no such path")]
    assert by_id(answering(model="any")(questions)) == right
    assert {body["model"] for body in server.bodies} == {"any"}
    remedy = "give an address that ends in /v1 and a model that is served there"
    expected = f"{server.url}/models: refused, got HTTP 404: no such path - {remedy}"
    assert message_of(answering(), questions) == expected


# --- servers that do less --------------------------------------------------------------------------------------------


def takes(*kinds):
    """A server's refusals when it takes only some kinds of prompts."""

    def refuse(path, body):
        if "chat" in path:
            return None if "chat" in kinds else failed(404, "no chat")
        if not {"ids", "text"} & set(kinds):
            return failed(404, "no completions")
        return None if ("text" if isinstance(body["prompt"], str) else "ids") in kinds else failed(400, "not a string")

    return refuse


@pytest.mark.parametrize(("kinds", "field_name"), [(("text", "chat"), "prompt"), (("chat",), "messages")])
def test_a_server_that_takes_less_is_asked_as_it_likes(server, answering, questions, right, kinds, field_name):
    server.refuse = takes(*kinds)
    assert by_id(answering(concurrency=1)(questions)) == right
    assert len(server.asked) == len(TEXTS) + 1, "the way is found once"
    assert all(field_name in body for body in server.bodies[1:])
    server.asked.clear()
    assert by_id(answering(concurrency=4)(questions)) == right


def test_once_ids_are_taken_a_refused_prompt_is_not_asked_in_another_way(server, answering, questions):
    server.faults[TEXTS[5]] = [failed(400, "too long")]
    assert "was refused, got HTTP 400: too long" in message_of(answering(concurrency=1), questions)
    assert server.asked == TEXTS[:6]


def test_a_server_that_takes_nothing_is_told(server, answering, questions):
    server.refuse = takes()
    said = message_of(answering(concurrency=1), questions)
    assert said.startswith(
        f"{server.url}: 0 of 10 prompts answered, then prompt id {TEXTS[0]} was refused, got HTTP 404"
    )


# --- stopping --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", ["close", "interrupt"])
def test_stopping_gives_up_what_is_out_and_asks_no_more(server, codec, answering, tmp_path, stop):
    """Two questions hang for twenty seconds; stopping does not wait for them."""
    for text in TEXTS[1:3]:
        server.faults[text] = [Reply(fault="hang")]
    journal = tmp_path / "journal.jsonl"

    def interrupted(what, done, total):
        if done == 1:
            raise KeyboardInterrupt

    job = answering(concurrency=3, timeout_seconds=1000.0)
    if stop == "interrupt":
        with pytest.raises(KeyboardInterrupt):
            answer_all(job, codec, PROMPTS, journal, interrupted)
        assert len(list(read_journal(journal))) == 1
    else:
        answers = job([Question(prompt=each, prompt_ids=tuple(codec.encode_chat(each.messages))) for each in PROMPTS])
        next(answers)
        answers.close()
    assert threads_left() == []
    assert all(hung_up(connection) for connection in server.connections)
    assert not server.waited_out
    assert len(server.asked) < len(TEXTS)


def test_a_fault_of_ours_is_not_taken_for_the_servers(server, answering, questions, right):
    """Negative control: an error that is neither passes through as it is, after the answers."""
    odd = random.Random(0).choice(questions)
    job = answering(concurrency=1)
    broken = [replace(each, prompt=None) if each is odd else each for each in questions]
    got = []
    with pytest.raises(AttributeError):
        take_into(got, job(broken))
    assert got == right[: questions.index(odd)]
