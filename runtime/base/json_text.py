"""Parse JSON that strangers wrote: nesting, numbers and texts are bounded, and every fault is one line."""

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from edgedraft.runtime.base.errors import EdgedraftError, first_line, shown

DEEPEST = 100
"""Most lists and objects inside each other; model folders have fewer than ten."""

_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def parsed_json(content: str | bytes, where: str, *, infinite: bool = False) -> Any:
    """Return the JSON value in ``content``, a text or UTF-8 bytes.

    Raises `EdgedraftError` that begins with ``where`` for invalid JSON and invalid UTF-8, and for what other readers
    would read in another way or not at all: NaN, Infinity, a key twice with two values, half of a surrogate pair,
    numbers of thousands of digits, and more than `DEEPEST` lists and objects inside each other. With ``infinite``
    Infinity and -Infinity are numbers, as Python writes them.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        constant = _infinity if infinite else _no_number
        value = json.loads(text, parse_constant=constant, parse_float=_finite, object_pairs_hook=_once)
        _require_shallow(value)
        if _HALF.search(text) or (not text.isascii() and _SURROGATE.search(text)):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise EdgedraftError(f"{where}: not valid JSON", got="values nested too deeply") from None
    except UnicodeEncodeError as error:
        raise EdgedraftError(f"{where}: not valid JSON", got="half of a surrogate pair") from error
    except ValueError as error:
        raise EdgedraftError(f"{where}: not valid JSON", got=first_line(error)) from error
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _infinity(name: str) -> float:
    return _no_number(name) if name == "NaN" else float(name)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{shown(digits)} does not fit a double")
    return value


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object; of a key that stands twice, readers take the first value or the last."""
    value = dict(pairs)
    if len(value) < len(pairs):
        for key, item in pairs:
            if value[key] != item:
                raise ValueError(f"two values of the key {shown(key)}")
    return value


def _require_shallow(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise RecursionError
