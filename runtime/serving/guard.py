"""Who may ask, and what browsers may do with the answers: the token in the path and the headers of every response."""

import hmac
import secrets

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
"""On every response: the page may load nothing from elsewhere, and is isolated, which WebAssembly's threads need."""

_TOKEN_BYTES = 16


def new_token() -> str:
    """A token that nobody guesses: 128 random bits, 22 letters that need no escaping in an address."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def below_token(path: str, token: str) -> str | None:
    """The part of an absolute ``path`` below ``/token/``, None without the right token.

    The comparison takes as long however much of the token is right.
    """
    given, slash, rest = path.removeprefix("/").partition("/")
    right = hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())
    return rest if right and slash and path.startswith("/") else None
