"""Check who may ask: the key, and protection against pages of other sites that ask in a user's browser."""

import hmac
import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from edgedraft.runtime.serving.openai.errors import ApiError

_LOCAL_NAMES = ("localhost", "localhost.")


def require_key(headers: Mapping[str, str], api_key: str | None) -> None:
    """Raise `ApiError` (401) unless the request carries the key, if there is one."""
    if api_key is None:
        return
    kind, _, given = headers.get("authorization", "").partition(" ")
    # Takes equally long for every wrong key, so that timing does not reveal how much of a guess is right.
    right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), api_key.encode())
    if kind.lower() != "bearer" or not right:
        rule, remedy = "expected the server's API key", "send it as Authorization: Bearer KEY"
        raise ApiError(rule, remedy=remedy, status=401, code="invalid_api_key")


def require_own_page(headers: Mapping[str, str], origins: tuple[str, ...]) -> None:
    """Raise `ApiError` (403) for a request that a browser makes for a page of another site, unless it is allowed.

    Browsers send such requests even where the page may not read the answer.
    """
    origin = headers.get("origin")
    if origin is None or "*" in origins or origin in origins:
        return
    if urlsplit(origin).netloc != headers.get("host", ""):
        remedy = "start the server with --cors-origin"
        raise ApiError("this page may not use the server", got=origin[:200], remedy=remedy, status=403)


def require_local_name(headers: Mapping[str, str]) -> None:
    """Raise `ApiError` (403) unless the Host header names this machine by a local name.

    A page of another site could point its own name at this machine, and would then count as the server's own.
    """
    host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    if host in _LOCAL_NAMES:
        return
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        remedy = "use localhost, or start the server with --host or --api-key"
        raise ApiError("the Host header must name this computer", got=host[:200] or None, remedy=remedy, status=403)
