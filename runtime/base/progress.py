"""Progress of long work: the library reports it, the caller shows it."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called as ``progress(what, done, total)`` in whatever unit ``what`` counts; ``total`` is 0 while unknown."""


def silent(what: str, done: int, total: int) -> None:
    """Ignore progress: a `Progress` that shows nothing."""


Note = Callable[[str], None]
"""Called with a sentence that the user should read while the work goes on."""


def unsaid(sentence: str) -> None:
    """Ignore a sentence: a `Note` that shows nothing."""
