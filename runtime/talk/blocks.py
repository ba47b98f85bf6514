'''Join typed lines into messages: a trailing backslash continues, and """ begins and ends a block.'''

QUOTES = '"""'


class MessageLines:
    """The lines of the message that is being typed."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._in_block = False

    @property
    def unfinished(self) -> bool:
        """Return whether the message wants more lines."""
        return bool(self._lines)

    def add(self, line: str) -> str | None:
        """Add a line; return the whole message when this line ends it, else None.

        A line may hold line feeds: a pasted text comes as one line. Quotes that open a block stand at the start of the
        line or behind a command's name.
        """
        if not self._lines and (opened := _opening(line)) is not None:
            before, line = opened
            self._in_block = True
            if line.rstrip().endswith(QUOTES):
                return self._finish(before + line.rstrip().removesuffix(QUOTES))
            self._lines.append(before + line)
            return None
        if self._in_block:
            if line.rstrip().endswith(QUOTES):
                return self._finish(line.rstrip().removesuffix(QUOTES))
        elif not line.endswith("\\"):
            return self._finish(line)
        self._lines.append(line if self._in_block else line[:-1])
        return None

    def rest(self) -> str | None:
        """Return what was typed of an unfinished message, None if there is nothing, and begin anew."""
        return self._finish() if self._lines else None

    def _finish(self, *last: str) -> str:
        message = "\n".join([*self._lines, *last]).strip()
        self._lines, self._in_block = [], False
        return message


def _opening(line: str) -> tuple[str, str] | None:
    """Return what stands before and behind the quotes that open a block; None where no block begins."""
    before, quotes, behind = line.partition(QUOTES)
    is_command = before.startswith("/") and len(before.split()) == 1 and before[-1:].isspace()
    return (before, behind) if quotes and (is_command or not before.strip()) else None
