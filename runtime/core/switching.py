"""Models that compute a longer text otherwise: LongRoPE rotates all positions anew once a text passes a length.

Keys of the shorter text are of no use in the longer one, so such a model reads everything again when it passes that
length, in either direction. Decoding is right without knowing it; what stands here keeps it from reading twice in vain.
"""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Switching(Protocol):
    """A model that computes texts of more than ``switch_length`` tokens otherwise; None where it does not."""

    @property
    def switch_length(self) -> int | None:
        """Return the longest text that the model computes by its first factors."""
        ...

    def expect(self, length: int) -> None:
        """Take note that the text will have ``length`` tokens, and forget what was read for a text of another kind."""
        ...


def expect(model: object, length: int) -> None:
    """Tell ``model`` how long the text will be that it reads next, if it can make use of that."""
    if isinstance(model, Switching):
        model.expect(length)


def longest_pass_end(model: object, length: int, context_length: int) -> int:
    """Return where a pass must end that begins with a text of ``length`` tokens: at the context's end, or the switch.

    A draft across the switch could be refused behind it, and then everything would be read twice again.
    """
    switch = model.switch_length if isinstance(model, Switching) else None
    return context_length if switch is None or length > switch else min(context_length, switch)
