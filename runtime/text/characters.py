"""Replace bytes and characters that cannot be encoded as UTF-8 by replacement characters."""

import re

REPLACEMENT = "\ufffd"

_SURROGATE = re.compile("[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """Return ``text`` with each lone surrogate replaced, and surrogate pairs joined.

    Python passes invalid UTF-8 bytes of the command line as lone surrogates, and JSON may hold them.
    """
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def decoded(raw: bytes) -> str:
    """Return the bytes as UTF-8 text without a byte order mark; each invalid byte is replaced."""
    return raw.decode("utf-8", "replace").removeprefix("\ufeff")
