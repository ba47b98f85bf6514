"""Refuse tokenizers that could take a machine's memory or time: files of strangers say how text is rewritten and cut.

The tokenizers library runs compiled code that nothing can interrupt, so what it is given is checked before: no text may
grow beyond `MOST_GROWTH`, and no regular expression may repeat what repeats inside it, since its time can double with
every character.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from edgedraft.runtime.base.errors import EdgedraftError, first_line, shown
from edgedraft.runtime.base.records import require

MOST_GROWTH = 64
"""A normalizer or decoder may make a text that many times as long, at most."""

_LONGEST_PATTERN, _LONGEST_PREFIX = 4096, 1024
_PARTS = ("normalizer", "pre_tokenizer", "decoder")
_PANIC = "PanicException"


@contextlib.contextmanager
def library_errors(path: Path, rule: str) -> Iterator[None]:
    """Turn the tokenizers library's errors in the block into an `EdgedraftError`; its panics are no `Exception`."""
    try:
        yield
    except EdgedraftError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
            raise
        raise EdgedraftError(f"{path}: {rule}", got=first_line(error)) from error


def require_bounded(path: Path, tokenizer: Tokenizer) -> None:
    """Refuse the tokenizer read from ``path`` if its parts could make a text too long or take too long."""
    for name in _PARTS:
        part = getattr(tokenizer, name)
        if part is None:
            continue
        grown = 1.0
        for step in _steps(json.loads(part.__getstate__())):
            grown *= _growth(step, f"{path}: {name}")
        rule = f"{path}: {name}: expected at most {MOST_GROWTH} times as much text as before"
        require(grown <= MOST_GROWTH, rule, got=f"{grown:.3g} times")


def _steps(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every component that has a type, those of sequences one after the other."""
    if isinstance(value, dict):
        if "type" in value:
            yield value
        for inner in value.values():
            yield from _steps(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _steps(inner)


def _growth(step: Mapping[str, Any], where: str) -> float:
    """Return how many times as long a text may become by this component."""
    pattern = step.get("pattern")
    expression = pattern.get("Regex") if isinstance(pattern, Mapping) else None
    if isinstance(expression, str):
        fits = len(expression) <= _LONGEST_PATTERN
        require(fits, f"{where}: pattern: expected at most {_LONGEST_PATTERN} characters", got=len(expression))
        rule = f"{where}: pattern: expected no repetition of what repeats itself"
        require(not repeats_repetitions(expression), rule, got=shown(expression))
    for name in ("prepend", "content", "prefix", "suffix"):
        text = step.get(name)
        short = not isinstance(text, str) or len(text) <= _LONGEST_PREFIX
        require(short, f"{where}: {name}: expected at most {_LONGEST_PREFIX} characters", got=len(text or ""))
    content = step.get("content")
    if step["type"] != "Replace" or not isinstance(content, str):
        return 1.0
    replaced = pattern.get("String") if isinstance(pattern, Mapping) else None
    # An expression may match no character at all, between any two.
    length = len(content) / len(replaced) if isinstance(replaced, str) and replaced else 1.0 + len(content)
    return max(1.0, length)


def repeats_repetitions(pattern: str) -> bool:
    """Return whether a group with a repetition or a choice of repetitions inside is itself repeated without a bound.

    >>> repeats_repetitions("(a+)+b"), repeats_repetitions(r"[^(a+)]+|(?:\\r?\\n)+| ?\\p{L}+(?!x)")
    (True, False)
    """
    groups, place, closed = [False], 0, False
    while place < len(pattern):
        sign = pattern[place]
        was_closed, closed = closed, False
        if sign == "\\":
            place += 1
        elif sign == "[":
            place = _class_end(pattern, place)
        elif sign == "(":
            groups.append(False)
        elif sign == ")" and len(groups) > 1:
            closed = groups.pop()
            groups[-1] |= closed
        elif sign in "*+" or (sign == "{" and _is_open_bound(pattern, place)):
            if was_closed:
                return True
            groups[-1] = True
        place += 1
    return False


def _class_end(pattern: str, place: int) -> int:
    """Return the place of the bracket that ends the class of characters which begins at ``place``."""
    depth, at = 0, place
    while at < len(pattern):
        if pattern[at] == "\\":
            at += 1
        elif pattern[at] == "[":
            depth += 1
        elif pattern[at] == "]" and at > place + 1:
            depth -= 1
            if depth == 0:
                return at
        at += 1
    return at


def _is_open_bound(pattern: str, place: int) -> bool:
    """Return whether ``{n,}``, without an upper bound, or with one in the hundreds, stands at ``place``."""
    inside = pattern[place + 1 : pattern.find("}", place)]
    low, comma, high = inside.partition(",")
    bounded = high.isdecimal() and int(high) < 100 if comma else low.isdecimal() and int(low) < 100
    return (low + high).isdecimal() and not bounded
