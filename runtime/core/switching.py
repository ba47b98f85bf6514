"""Models that compute longer texts differently: LongRoPE rotates all positions anew beyond a certain length.

Keys of the shorter text are wrong in the longer one, so such a model reads everything again when a text passes that
length, in either direction. Decoding is correct without the functions here; they avoid reading a text twice.
"""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Switching(Protocol):
    """A model that computes texts of more than ``switch_length`` tokens differently; None if it does not."""

    @property
    def switch_length(self) -> int | None:
        """Return the length of the longest text that uses the first factors."""
        ...

    def expect(self, length: int) -> None:
        """Note that the text will have ``length`` tokens; forget keys that were rotated for the other kind of text."""
        ...


def expect(model: object, length: int) -> None:
    """Tell ``model`` the length of the text that it reads next, if it is a `Switching` model."""
    if isinstance(model, Switching):
        model.expect(length)


def longest_pass_end(model: object, length: int, context_length: int) -> int:
    """Return where a pass after ``length`` tokens must end: at the end of the context, or at the switch.

    If a draft crossed the switch and were rejected, everything would be read twice again.
    """
    switch = model.switch_length if isinstance(model, Switching) else None
    return context_length if switch is None or length > switch else min(context_length, switch)
