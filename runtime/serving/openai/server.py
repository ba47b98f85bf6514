"""OpenAIServer: the application behind the front, with its pool of answers and as many connections as it can queue."""

import importlib
import socket
from typing import Any

from edgedraft.runtime.base.errors import MissingExtraError
from edgedraft.runtime.base.free_memory import free_memory_bytes
from edgedraft.runtime.engine import Engine
from edgedraft.runtime.serving.front.limits import ClientLimits
from edgedraft.runtime.serving.front.server import Front, FrontOptions
from edgedraft.runtime.serving.openai.app import OpenAIApp, ServeOptions, with_cors
from edgedraft.runtime.serving.openai.contexts import fitting_context
from edgedraft.runtime.serving.openai.pool import AnswerPool

_HEADERS = (("X-Content-Type-Options", "nosniff"),)
_CONNECTIONS_PER_ANSWER = 2


def require_libraries() -> None:
    """Raise `MissingExtraError` where a package of the extra ``serve`` is missing."""
    for name in ("starlette", "uvicorn"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise MissingExtraError(name, "serve") from error


class OpenAIServer(Front):
    """Serves a bundle on a listening socket, which it closes at the end.

    With ``longest_context`` the context of ``engine`` is shortened until all slots fit into half of the free memory.
    """

    def __init__(
        self, engine: Engine, listener: socket.socket, options: ServeOptions, *, longest_context: bool = False
    ) -> None:
        if longest_context:
            longest, free = engine.settings.context_length, free_memory_bytes()
            engine.limit_context(fitting_context(longest, engine.cache_bytes_per_token, options.parallel, free))
        usual, needed = ClientLimits(), _CONNECTIONS_PER_ANSWER * (options.parallel + options.queue)
        limits = ClientLimits(per_client=max(usual.per_client, needed), total=max(usual.total, 2 * needed))
        self._pool = AnswerPool(engine, options.parallel, options.queue, joint=options.joint)
        self._app = OpenAIApp(engine, self._pool, options)
        app = with_cors(self._app, options.cors_origins)
        super().__init__(app, listener, FrontOptions(headers=_HEADERS, limits=limits))

    def run(self) -> None:
        """Answer until `stop` or Ctrl-C, which is raised again once all answers have ended."""
        try:
            super().run()
        finally:
            self._pool.close()

    @property
    def shares_passes(self) -> bool:
        """Return whether several answers are verified in one pass."""
        return self._pool.shares_passes

    def summary(self) -> dict[str, Any]:
        """Return how many requests got which status, and the sums of tokens."""
        return self._app.metrics.summary()
