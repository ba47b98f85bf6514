"""One OpenAI-compatible server over HTTP: its address, the model it serves, and what its failures mean."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from edgedraft.calibration.answers.retries import PASSING_STATUSES, PassingError, RefusedError, asked_seconds
from edgedraft.runtime.base.errors import EdgedraftError, MissingExtraError, first_line
from edgedraft.runtime.base.json_text import parsed_json
from edgedraft.runtime.base.records import require

if TYPE_CHECKING:
    import httpx

NO_SUCH_PATH = (404, 405, 501)
"""HTTP statuses of a server that does not have what was asked for."""

MOST_BODY_BYTES = 2**24
"""Largest answer of a server that is read; those to a hundred thousand tokens have a tenth of it."""

_CONNECT_SECONDS = 10.0
_LONGEST_MESSAGE, _LONGEST_NAME = 300, 120
_SHOWN_MODELS = 8
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """A server and the limits of requests to it. ``url`` ends in /v1; without ``model`` the only one served is taken.

    ``timeout_seconds`` bounds a whole request; ``retries`` are the tries after the first.
    """

    url: str
    model: str = ""
    api_key: str = field(default="", repr=False)
    concurrency: int = 8
    timeout_seconds: float = 600.0
    retries: int = 6

    def __post_init__(self) -> None:
        require(self.url.startswith(("http://", "https://")), "endpoint: expected http://… or https://…", got=self.url)
        require(self.api_key.isascii() and self.api_key.isprintable(), "endpoint: the key holds signs that no key has")
        require(self.concurrency >= 1, "endpoint: concurrency must be at least 1", got=self.concurrency)
        timed = 0 < self.timeout_seconds < math.inf
        require(timed, "endpoint: timeout must be above 0 seconds", got=self.timeout_seconds)
        require(self.retries >= 0, "endpoint: retries must be 0 or more", got=self.retries)

    @property
    def base(self) -> str:
        """Return the address to which paths are added."""
        return self.url.rstrip("/")


class Server:
    """An open client of one endpoint; use it on one event loop and close it there."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._client = _client(endpoint)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def get(self, path: str) -> Any:
        """Return the JSON at ``path``; errors as `post`."""
        return await self._request("GET", path)

    async def post(self, path: str, body: object) -> Any:
        """Return the JSON of the answer to ``body``; raise `PassingError` or `RefusedError` where there is none."""
        return await self._request("POST", path, body)

    async def model_name(self) -> str:
        """Return the model to name in requests: the given one, which must be served, or the only one."""
        endpoint = self._endpoint
        try:
            names = served_models(await self.get("models"))
        except RefusedError as error:
            # Some gateways keep no list: the name given is then the name.
            if endpoint.model and error.status in NO_SUCH_PATH:
                return endpoint.model
            raise
        return chosen_model(f"{endpoint.base}/models", endpoint.model, names)

    async def _request(self, method: str, path: str, body: object = None) -> Any:
        import httpx

        endpoint = self._endpoint
        late = f"no answer within {endpoint.timeout_seconds:g} seconds"
        try:
            async with asyncio.timeout(endpoint.timeout_seconds):
                request = self._client.build_request(method, f"{endpoint.base}/{path}", json=body)
                response = await self._client.send(request, stream=True)
                try:
                    content = await _bounded_body(response)
                finally:
                    await response.aclose()
        except httpx.ConnectTimeout as error:
            raise PassingError("no connection") from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise PassingError(late) from error
        except httpx.RequestError as error:
            raise PassingError(f"{type(error).__name__}: {first_line(error)}") from error
        except httpx.InvalidURL as error:
            raise RefusedError(first_line(error)) from error
        return _content(response, content)


def served_models(data: Any) -> list[str]:
    """Return the model names in an answer to ``GET /models``."""
    try:
        return [str(entry["id"]) for entry in data["data"]]
    except (TypeError, KeyError) as error:
        raise PassingError("no list of models in the answer") from error


def chosen_model(where: str, name: str, names: Sequence[str]) -> str:
    """Return the ``name`` one of the ``names`` served, or the only one."""
    listed = ", ".join(name[:_LONGEST_NAME] for name in names[:_SHOWN_MODELS]) or "none"
    shown = listed + (", …" if len(names) > _SHOWN_MODELS else "")
    if name:
        require(name in names, f"{where}: expected model {name}", got=shown, remedy="name one that is served")
        return name
    require(len(names) == 1, f"{where}: expected one model", got=shown, remedy="name the model to ask")
    return names[0]


def _client(endpoint: Endpoint) -> "httpx.AsyncClient":
    try:
        import httpx
    except ModuleNotFoundError as error:
        raise MissingExtraError("httpx", "export") from error
    return httpx.AsyncClient(
        # Packed bodies are not asked for: a few bytes of them unpack to gigabytes.
        headers={"Accept-Encoding": "identity"}
        | ({"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}),
        # A redirect is an error of one line: the key and the prompts go to the host that the user named, to no other.
        follow_redirects=False,
        timeout=httpx.Timeout(endpoint.timeout_seconds, connect=min(_CONNECT_SECONDS, endpoint.timeout_seconds)),
        limits=httpx.Limits(max_connections=endpoint.concurrency, max_keepalive_connections=endpoint.concurrency),
        # Loading the certificates takes a while; plain HTTP shows none to check.
        verify=endpoint.url.startswith("https://"),
        # A proxy named in the environment cannot reach a server on this machine.
        trust_env=urlsplit(endpoint.url).hostname not in _LOOPBACK,
    )


async def _bounded_body(response: "httpx.Response") -> bytes:
    """Read the body as it comes, and give up once it is larger than any answer."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MOST_BODY_BYTES:
            raise RefusedError(f"an answer of more than {MOST_BODY_BYTES:,} bytes")
    return bytes(body)


def _content(response: "httpx.Response", content: bytes) -> Any:
    """Return the JSON of a successful response; raise the matching error for any other."""
    status = response.status_code
    if response.is_success:
        try:
            return parsed_json(content, "answer")
        except EdgedraftError as error:
            raise PassingError(f"an answer that is not JSON: {error.got}") from error
    reason = f"HTTP {status}: {_message(response, content)}"
    if status in PASSING_STATUSES or (status >= 500 and status not in NO_SUCH_PATH):
        raise PassingError(reason, asked_seconds(response.headers))
    raise RefusedError(reason, status)


def _message(response: "httpx.Response", content: bytes) -> str:
    """Return the server's own words in one line."""
    try:
        data = parsed_json(content, "answer")
    except EdgedraftError:
        data = content[: 4 * _LONGEST_MESSAGE].decode("utf-8", "replace")
    while isinstance(data, dict):
        data = next((data[key] for key in ("error", "message", "detail") if key in data), str(data))
    return " ".join(str(data).split())[:_LONGEST_MESSAGE] or response.reason_phrase
