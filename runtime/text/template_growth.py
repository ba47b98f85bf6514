"""The sizes of what a template's methods and filters return, where a short text can become a long one.

Each function takes the budget and the arguments of the call, and takes the bytes of the result before it is made.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jinja2.exceptions import SecurityError

from edgedraft.runtime.text.template_budget import Budget

_BYTES, _MOST_WIDTH, _MOST_INDENT = 4, 100_000, 16

READ_LONGER: tuple[type, ...] = (str, list, tuple, dict)
"""Values whose reading takes longer the larger they are."""


def listed(value: Any, within: Budget) -> Any:
    """Return a lazy sequence as a list, each element within the budget; any other value as it is."""
    if not isinstance(value, Iterator):
        return value
    elements = []
    for each in value:
        within.step(1)
        within.make(8)
        elements.append(each)
    return elements


def _width(value: Any) -> int:
    number = value if isinstance(value, int) else 0
    if not 0 <= abs(number) <= _MOST_WIDTH:
        raise SecurityError("the template asks for a large width")
    return abs(number)


def _padded(within: Budget, text: Any, width: Any = 80, *_: Any, **__: Any) -> None:
    within.make(_BYTES * (_width(width) + len(str(text))))


def _expanded(within: Budget, text: str, tabsize: Any = 8) -> None:
    within.make(_BYTES * (len(text) + text.count("\t") * _width(tabsize)))


def _replaced(within: Budget, text: Any, old: Any = "", new: Any = "", *_: Any, **__: Any) -> None:
    within.make(within.read(text))
    text, old, new = str(text), str(old), str(new)
    within.make(_BYTES * (len(text) + text.count(old) * len(new)))


def _joined(within: Budget, text: str, parts: Any = ()) -> None:
    if isinstance(parts, Iterable):
        within.make(_BYTES * sum(len(text) + (len(each) if isinstance(each, str) else 0) for each in parts))


def _joined_filter(within: Budget, value: Any, d: Any = "", *_: Any, **__: Any) -> None:
    if isinstance(value, Iterable):
        separator = len(str(d))
        within.make(sum(within.read(each) + _BYTES * separator for each in value))


def _indented(within: Budget, text: Any, width: Any = 4, *_: Any, **__: Any) -> None:
    each = len(width) if isinstance(width, str) else _width(width)
    within.make(_BYTES * (len(str(text)) + (1 + str(text).count("\n")) * each))


def _formatted(within: Budget, text: Any, *args: Any, **kwargs: Any) -> None:
    text = str(text)
    if "*" in text or any(len(digits) > 3 for digits in "".join(c if c.isdigit() else " " for c in text).split()):
        raise SecurityError("the template formats with a large width")
    within.make(len(text) + text.count("%") * within.read([args, kwargs]))


def _batched(within: Budget, value: Any, count: Any = 1, *_: Any, **__: Any) -> None:
    within.make(8 * _width(count))


def _wrapped(within: Budget, text: Any, width: Any = 79, long: Any = True, wrapstring: Any = None, **__: Any) -> None:
    within.make(64 * len(str(text)) + len(str(text)) * len(str(wrapstring or "")))


def _rounded(within: Budget, value: Any, precision: Any = 0, *_: Any, **__: Any) -> None:
    if _width(precision) > _MOST_INDENT:
        raise SecurityError("the template rounds to too many digits")


def _summed(within: Budget, value: Any, attribute: Any = None, start: Any = 0) -> None:
    if not isinstance(start, int | float):
        raise SecurityError("the template sums lists")


def _to_json(within: Budget, value: Any, *args: Any, indent: Any = None, separators: Any = None, **_: Any) -> None:
    indent = args[1] if len(args) > 1 else indent
    each = len(indent) if isinstance(indent, str) else _width(indent)
    if each > _MOST_INDENT or len(str(separators)) > _MOST_WIDTH:
        raise SecurityError("the template indents JSON too far")
    within.make(within.read(value, each + len(str(separators or ""))))


METHODS: Mapping[str, Callable[..., None]] = {
    **dict.fromkeys(("center", "ljust", "rjust", "zfill"), _padded),
    "expandtabs": _expanded,
    "replace": _replaced,
    "join": _joined,
}
FILTERS: Mapping[str, Callable[..., None]] = {
    "center": _padded,
    "replace": _replaced,
    "join": _joined_filter,
    "indent": _indented,
    "format": _formatted,
    "batch": _batched,
    "slice": _batched,
    "wordwrap": _wrapped,
    "round": _rounded,
    "sum": _summed,
    "tojson": _to_json,
}
