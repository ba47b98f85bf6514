"""What a server sends is bounded and cleaned, and a request goes to no other host than the one named."""

import asyncio

import httpx
import pytest

from edgedraft.calibration.answers import server as servers
from edgedraft.calibration.answers.retries import PassingError, RefusedError
from edgedraft.calibration.answers.server import MOST_BODY_BYTES, Endpoint, Server
from edgedraft.runtime.base.errors import EdgedraftError

URL = "https://here.example/v1"


class Endless(httpx.AsyncByteStream):
    """A body that never ends; ``sent`` counts its bytes."""

    sent = 0

    async def __aiter__(self):
        while True:
            Endless.sent += 2**20
            yield b" " * 2**20


def asked(monkeypatch, answer):
    """Ask a server that gives ``answer``; return the result and the addresses that were asked."""
    addresses = []

    def handler(request):
        addresses.append(str(request.url))
        return answer

    made = servers._client

    def client(endpoint):
        real = made(endpoint)
        options = {"headers": real.headers, "follow_redirects": real.follow_redirects}
        return httpx.AsyncClient(transport=httpx.MockTransport(handler), **options)

    monkeypatch.setattr(servers, "_client", client)

    async def ask():
        server = Server(Endpoint(url=URL, api_key="secret"))
        try:
            return await server.get("models")
        finally:
            await server.close()

    return (lambda: asyncio.run(ask())), addresses


def test_a_body_without_end_is_given_up(monkeypatch):
    ask, _ = asked(monkeypatch, httpx.Response(200, stream=Endless()))
    with pytest.raises(RefusedError, match="an answer of more than 16,777,216 bytes"):
        ask()
    assert Endless.sent <= MOST_BODY_BYTES + 2 * 2**20


@pytest.mark.parametrize("place", ["http://here.example/v1/models", "https://elsewhere.example/v1/models"])
def test_no_redirect_is_followed(monkeypatch, place):
    ask, addresses = asked(monkeypatch, httpx.Response(307, headers={"Location": place}))
    with pytest.raises(RefusedError, match="HTTP 307"):
        ask()
    assert addresses == [f"{URL}/models"]


@pytest.mark.parametrize("body", ["[" * 10**5, "NaN", '"\\ud800"', "9" * 5000, "{"])
def test_what_is_no_json_may_be_asked_for_again(monkeypatch, body):
    ask, _ = asked(monkeypatch, httpx.Response(200, content=body.encode()))
    with pytest.raises(PassingError, match="an answer that is not JSON: "):
        ask()


def test_words_of_a_server_have_no_control_characters_in_an_error(monkeypatch):
    answer = httpx.Response(400, json={"error": {"message": "\x1b[2J\x1b]0;x\x07 no such \u202eluck"}})
    ask, _ = asked(monkeypatch, answer)
    with pytest.raises(RefusedError) as raised:
        ask()
    assert r"\x1b[2J\x1b]0;x\x07 no such \u202eluck" in str(EdgedraftError("refused", got=raised.value))
