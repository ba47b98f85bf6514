"""An address as a QR code of half blocks, for a phone's camera to read off a terminal."""

import io

from edgedraft.runtime.base.errors import MissingExtraError

_BORDER = 2


def terminal_qr(text: str) -> str:
    """The code of ``text``, lines of a terminal that colours its background."""
    try:
        import segno
    except ImportError as error:
        raise MissingExtraError("segno", "serve") from error

    lines = io.StringIO()
    segno.make_qr(text, error="m").terminal(lines, border=_BORDER, compact=True)
    return lines.getvalue().rstrip("\n")
