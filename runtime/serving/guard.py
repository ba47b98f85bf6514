"""The rules of the page server: the token, the headers of every response, and the limits of what may be posted."""

import hmac
import secrets
from collections.abc import AsyncIterator

_POLICY = (
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "worker-src 'self' blob:",
    "connect-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)

HEADERS = (
    ("Content-Security-Policy", "; ".join(_POLICY)),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Embedder-Policy", "require-corp"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
)
"""On every response: the page loads nothing from other servers, and is isolated, as WebAssembly threads require."""

MAX_POST_BYTES = 2**20

_MAX_READ_BYTES = 8 * MAX_POST_BYTES
_TOKEN_BYTES = 16


def new_token() -> str:
    """Return a token that nobody can guess: 128 random bits as 22 characters that are safe in a URL."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def below_token(path: str, token: str) -> str | None:
    """Return the part of an absolute ``path`` below ``/token/``, or None without the right token."""
    given, slash, rest = path.removeprefix("/").partition("/")
    # Takes equally long for every wrong token, so that timing does not reveal how much of a guess is right.
    right = hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())
    return rest if right and slash and path.startswith("/") else None


async def body_of(chunks: AsyncIterator[bytes], announced: str | None) -> bytes | None:
    """Read a whole request body of at most ``MAX_POST_BYTES``, or return None when it is larger.

    ``announced`` is the Content-Length header: a body that announces far too much is not read at all.
    """
    # Only the first 20 digits are parsed: Python refuses to parse numbers of thousands of digits.
    if announced is not None and announced.isdecimal() and int(announced[:20]) > _MAX_READ_BYTES:
        return None
    body, count = bytearray(), 0
    async for chunk in chunks:
        count += len(chunk)
        # Read on for a while without keeping it: a browser that is cut off while it sends shows no answer.
        if count > _MAX_READ_BYTES:
            break
        if count <= MAX_POST_BYTES:
            body += chunk
    return bytes(body) if count <= MAX_POST_BYTES else None


def is_json(content_type: str | None) -> bool:
    """Return whether a Content-Type header announces JSON; one that is missing or empty may."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    return kind in ("", "application/json")
