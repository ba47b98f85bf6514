"""A server of a small bundle in a thread of its own, OpenAI's own client of it, and what the bundle answers alone."""

import contextlib
import http.client
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from edgedraft.runtime.engine import DecodingOptions, Engine
from edgedraft.runtime.serving.listening import listen
from edgedraft.runtime.serving.openai.app import ServeOptions
from edgedraft.runtime.serving.openai.server import OpenAIServer

CONTEXT = 256
TOOL_TEMPLATE = (
    "{% for t in tools or [] %}<tool>{{ t['function']['name'] }}</tool>{% endfor %}{% for m in messages %}"
    "{{ m['role'][0] }}:{{ m['content'] }}{% for c in m['tool_calls'] or [] %}<tool_call>{{ c['function']['name'] }}"
    "{{ c['function']['arguments'] | tojson }}</tool_call>{% endfor %}\n{% endfor %}a:"
)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A status, headers with lower-case names, and a body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The JSON values of a stream; it must end with the mark of its end."""
        *events, done = self.body.decode().removesuffix("\n\n").split("\n\n")
        assert done == "data: [DONE]"
        return [json.loads(event.removeprefix("data: ")) for event in events]


@dataclass(frozen=True, kw_only=True)
class Served:
    """A running server, with the engine that answers."""

    server: OpenAIServer
    engine: Engine

    @property
    def port(self) -> int:
        return self.server.address[1]

    def client(self, **options: Any) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=f"http://127.0.0.1:{self.port}/v1", **{"api_key": "none", "max_retries": 0, **options}
        )

    def ask(self, path: str, body: Any = None, method: str | None = None, **headers: str) -> Reply:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(link):
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            link.request(method or ("GET" if body is None else "POST"), path, data, named)
            answer = link.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(status=answer.status, headers=found, body=answer.read())

    def alone(self, prompt: str | list[dict[str, str]], max_tokens: int = 24, **options: Any) -> str:
        """The target's own text."""
        asked = DecodingOptions(speculate=False, **options)
        return self.engine.generate(prompt, max_new_tokens=max_tokens, options=asked).text


@pytest.fixture(scope="session")
def served():
    """Runs a server of a bundle until the block ends."""

    @contextlib.contextmanager
    def run(bundle: Path, **options: Any):
        engine = Engine.open(bundle, context_length=CONTEXT, threads=2)
        server = OpenAIServer(
            engine, listen(0), ServeOptions(**{"model": "small", "parallel": 2, "queue": 4} | options)
        )
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield Served(server=server, engine=engine)
        finally:
            server.stop()
            thread.join(20)
            assert not thread.is_alive()

    return run


@pytest.fixture(scope="module")
def small(served, ledger_bundle):
    """A server with two slots and four places to wait."""
    with served(ledger_bundle) as running:
        yield running


@pytest.fixture(scope="session")
def tool_bundle(ledger_bundle, templated) -> Path:
    """The bundle, with a template that shows tools and their calls."""
    return templated(ledger_bundle, TOOL_TEMPLATE)
