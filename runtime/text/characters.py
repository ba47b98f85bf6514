"""Text that can be encoded: bytes and characters that are none become replacement characters."""

import re

REPLACEMENT = "\ufffd"

_SURROGATE = re.compile("[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """Return ``text`` with each half of a surrogate pair replaced, and whole pairs joined.

    Python hands over bytes of the command line that are no UTF-8 as such halves, and JSON may hold them.
    """
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def decoded(raw: bytes) -> str:
    """Return the bytes as UTF-8 text without a byte order mark; each byte that is none is replaced."""
    return raw.decode("utf-8", "replace").removeprefix("\ufeff")
