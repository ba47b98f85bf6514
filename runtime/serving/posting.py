"""What is posted: at most a megabyte, and JSON as the standard has it."""

import json
from collections.abc import AsyncIterator
from typing import Any, NoReturn

from edgedraft.runtime.base.errors import EdgedraftError, first_line

MAX_POST_BYTES = 2**20
_MOST_READ_BYTES = 8 * MAX_POST_BYTES


async def body_of(chunks: AsyncIterator[bytes], announced: str | None) -> bytes | None:
    """The whole body, None where it is too large, by its ``announced`` length or by what has come.

    Nothing beyond the limit is kept. A little more is read, though: a browser that is cut off while it sends shows no
    answer.
    """
    if announced is not None and announced.isdecimal() and int(announced[:20]) > _MOST_READ_BYTES:
        return None
    body, count = bytearray(), 0
    async for chunk in chunks:
        count += len(chunk)
        if count > _MOST_READ_BYTES:
            break
        if count <= MAX_POST_BYTES:
            body += chunk
    return bytes(body) if count <= MAX_POST_BYTES else None


def parsed(body: bytes) -> Any:
    """The JSON value in ``body``; NaN, Infinity and nesting without end are refused, which JSON does not have."""
    try:
        return json.loads(body, parse_constant=_not_json)
    except RecursionError:
        raise EdgedraftError("results: not valid JSON", got="values nested too deeply") from None
    except ValueError as error:
        raise EdgedraftError("results: not valid JSON", got=first_line(error)) from error


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
