"""Edit typed lines with readline, where Python has it: arrows, history, pasted blocks, completion of commands."""

from collections.abc import Sequence

try:
    import readline
except ImportError:  # Windows
    readline = None  # type: ignore[assignment]


def begin_editing(history: Sequence[str], commands: Sequence[str]) -> None:
    """Prepare the lines that `input` reads from now on: ``history`` for the arrows, ``commands`` for the tab key."""
    if readline is None:
        return
    readline.set_auto_history(False)  # a message of several lines is one entry, and only the chat knows where it ends
    readline.clear_history()
    for entry in history:
        readline.add_history(entry)
    # Python turns it off; with it a pasted text is one line, whatever line feeds it holds.
    readline.parse_and_bind("set enable-bracketed-paste on")
    by_libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if by_libedit else "tab: complete")
    readline.set_completer_delims(" ")

    def completed(text: str, number: int) -> str | None:
        fitting = [name for name in commands if text.startswith("/") and name.startswith(text)]
        return fitting[number] if number < len(fitting) else None

    readline.set_completer(completed)


def add_entry(entry: str) -> None:
    """Add a message to the history of the arrows."""
    if readline is not None:
        readline.add_history(entry)


def interrupted_line() -> str:
    """Return what stood in the line that Ctrl-C ended; empty where that is unknown."""
    return "" if readline is None else readline.get_line_buffer()
