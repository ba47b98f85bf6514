"""The budget of a chat template: how many steps one rendering may take, and how many bytes it may make.

A template is a program of strangers, and a short one can loop for hours or double a text sixty times. Every operation
that `edgedraft.runtime.text.template_sandbox` compiles asks here first, so that the limits hold in every thread and on
every system, without a process for each rendering.
"""

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from jinja2.exceptions import SecurityError

MOST_STEPS = 2_000_000
"""Nodes of the template that one rendering may evaluate; a step takes about a microsecond."""

MOST_BYTES = 2**26
"""Bytes of all texts and lists that one rendering may make, whether or not they are kept."""

_STEPS_A_CHARACTER, _BYTES_A_CHARACTER, _STEPS_A_VALUE = 64, 64, 4
_DEEPEST, _REFERENCE_BYTES, _CHARACTERS_A_STEP = 100, 64, 64
_CONTAINERS = (list, tuple, dict, set, frozenset)


class Budget:
    """The steps and bytes that are left."""

    __slots__ = ("bytes", "steps")

    def __init__(self, characters: int = 0) -> None:
        self.steps, self.bytes = MOST_STEPS, MOST_BYTES
        self.add(characters)

    def add(self, characters: int) -> None:
        """Allow for ``characters`` more of the user's own text."""
        self.steps += _STEPS_A_CHARACTER * characters
        self.bytes += _BYTES_A_CHARACTER * characters

    def step(self, count: int) -> None:
        """Take ``count`` steps; raise `SecurityError` if there are not so many left."""
        self.steps -= count
        if self.steps < 0:
            raise SecurityError("the template takes too many steps")

    def make(self, size: int) -> None:
        """Take ``size`` bytes, or raise `SecurityError`; asked before something of that size is made."""
        self.bytes -= size
        self.steps -= size // _CHARACTERS_A_STEP
        if self.bytes < 0 or self.steps < 0:
            raise SecurityError("the template makes too much text")

    def made(self, value: Any) -> Any:
        """Take the bytes of a ``value`` that was made, without what it refers to, and return it."""
        if isinstance(value, str):
            self.make(sys.getsizeof(value))
        elif isinstance(value, _CONTAINERS):
            self.make(_REFERENCE_BYTES * (1 + len(value)))
        return value

    def read(self, value: Any, indent: int = 0) -> int:
        """Take the steps of reading all of ``value``, and return the bytes of its text at most.

        What it refers to twice counts twice, as in its text. ``indent`` is added for every level.
        """
        level, size = [value], 0
        for depth in range(_DEEPEST):
            inner: list[Any] = []
            for each in level:
                if isinstance(each, str):
                    size += 6 * len(each) + indent * depth + 2
                    self.step(1 + len(each) // _CHARACTERS_A_STEP)
                    continue
                size += 32 + indent * depth
                if isinstance(each, int) and each.bit_length() > 64:
                    size += each.bit_length()
                if isinstance(each, _CONTAINERS):
                    self.step(1 + _STEPS_A_VALUE * len(each))
                    self.make(16 * len(each))
                    inner += [*each.keys(), *each.values()] if isinstance(each, Mapping) else each
            if not inner:
                return size
            level = inner
        raise SecurityError("the template nests values too deeply")


_running = threading.local()


def budget() -> Budget:
    """Return the budget of the rendering that runs in this thread; of a new one if there is none."""
    found: Budget | None = getattr(_running, "budget", None)
    return Budget() if found is None else found


@contextmanager
def new_budget(characters: int = 0) -> Iterator[Budget]:
    """Give the block a budget; ``characters`` of the user's own text add to it.

    Inside another such block its budget is used on, so that many renderings together cannot take many times as much.
    """
    around: Budget | None = getattr(_running, "budget", None)
    if around is not None:
        around.add(characters)
        yield around
        return
    _running.budget = made = Budget(characters)
    try:
        yield made
    finally:
        _running.budget = None
