"""Let Ctrl-C end an answer at its next token instead of at any place in the program."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class InterruptNote:
    """A note that Ctrl-C was pressed; before ``soft`` is set, and the second time, it raises `KeyboardInterrupt`."""

    def __init__(self) -> None:
        self.soft = False
        self.pressed = False

    def press(self, signal_number: int, frame: FrameType | None) -> None:
        """Handle SIGINT."""
        if self.pressed or not self.soft:
            raise KeyboardInterrupt
        self.pressed = True


@contextlib.contextmanager
def noting_interrupts() -> Iterator[InterruptNote]:
    """Note Ctrl-C in the block instead of raising; outside of the main thread nothing changes."""
    note = InterruptNote()
    try:
        before = signal.signal(signal.SIGINT, note.press)
    except ValueError:  # not the main thread: no signal comes here
        yield note
        return
    try:
        yield note
    finally:
        signal.signal(signal.SIGINT, before)
