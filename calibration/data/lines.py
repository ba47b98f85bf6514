"""Lines and chunks of bytes from a stream, numbered, in memory that does not grow with the stream."""

import codecs
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from edgedraft.calibration.data.parsing import LARGEST_ENTRY_BYTES
from edgedraft.runtime.base.records import require

CHUNK_BYTES = 64 * 2**10

_BEGINNING_BYTES = 4096
_ARRAY = re.compile(rb'\s*\[\s*(\{|"|\]\s*\Z)')
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Beginning:
    """A binary stream whose first bytes were read ahead, without a UTF-8 byte order mark.

    ``first`` is its first byte that is not white space, b"" if there is none. ``is_array`` is true if it begins like a
    JSON array of objects or texts, or is an empty one. UTF-16 raises `EdgedraftError`.
    """

    def __init__(self, stream: BinaryIO, where: str) -> None:
        head = stream.read(_BEGINNING_BYTES)
        require(not head.startswith(_WIDE), f"{where}: expected UTF-8", got="UTF-16", remedy="save it as UTF-8")
        head = head.removeprefix(codecs.BOM_UTF8)
        # A file that was never written holds zeros, perhaps for gigabytes without an end of line.
        require(head.count(0) < _BEGINNING_BYTES // 2, f"{where}: expected text", got="zero bytes")
        self.first = head.lstrip()[:1]
        self.is_array = _ARRAY.match(head) is not None
        self._head = io.BytesIO(head)
        self._stream = stream

    def first_line(self) -> bytes:
        """Return the first line that is not blank without reading it; b"" where it lies behind what was looked at."""
        line = next((line for line in self._head.getvalue().splitlines(keepends=True) if line.strip()), b"")
        return line if line.endswith(b"\n") else b""

    def give_back(self, raw: bytes) -> None:
        """Put back bytes that were read, so that they are read next."""
        self._head = io.BytesIO(raw + self._head.read())

    def readline(self, limit: int) -> bytes:
        """Return the next line with its line feed, cut after ``limit`` bytes; b"" at the end."""
        line = self._head.readline(limit)
        if line.endswith(b"\n") or len(line) == limit:
            return line
        return line + self._stream.readline(limit - len(line))

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most ``size``."""
        held = self._head.read(size)
        return held + self._stream.read(size - len(held))


def lines(stream: Beginning) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their line numbers from 1; only a line feed ends a line.

    Of a line beyond `LARGEST_ENTRY_BYTES` one byte more than that is kept, so that whoever parses it can tell.
    """
    limit = LARGEST_ENTRY_BYTES + 1
    number = 0
    while raw := stream.readline(limit):
        number += 1
        rest = raw
        while len(rest) == limit and not rest.endswith(b"\n"):
            rest = stream.readline(limit)
        if not raw.isspace():
            yield number, raw


def chunks(stream: Beginning) -> Iterator[tuple[int, bytes]]:
    """Whole lines together, up to `CHUNK_BYTES`, with the number of their first line; blank chunks are left out.

    A line that is not UTF-8 text is a chunk of its own, so that it spoils no other; a line longer than a chunk is cut
    before a space, or between two characters.
    """
    held, first = bytearray(), 1
    for number, piece in _pieces(stream):
        readable = _is_text(piece)
        if held and (not readable or len(held) + len(piece) > CHUNK_BYTES):
            yield from _unless_blank(first, held)
            held.clear()
        if not readable:
            yield number, piece
            continue
        first = first if held else number
        held += piece
    yield from _unless_blank(first, held)


def _unless_blank(number: int, held: bytearray) -> Iterator[tuple[int, bytes]]:
    if held and not held.isspace():
        yield number, bytes(held)


def _pieces(stream: Beginning) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers, those longer than a chunk in several pieces."""
    number, carried = 1, b""
    while raw := carried + stream.readline(CHUNK_BYTES - len(carried)):
        carried = b""
        if len(raw) == CHUNK_BYTES and not raw.endswith(b"\n"):
            raw, carried = _cut(raw)
        yield number, raw
        number += raw.endswith(b"\n")


def _cut(raw: bytes) -> tuple[bytes, bytes]:
    """Return the beginning of a long line and what goes to the next piece."""
    space = raw.rfind(b" ")
    if space > 0:
        return raw[:space], raw[space:]
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(raw)
    whole = len(raw) - len(decoder.getstate()[0])
    return raw[:whole], raw[whole:]


def _is_text(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in piece
