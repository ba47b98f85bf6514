"""The architecture that a GGUF file states, read from its first bytes."""

import struct
from pathlib import Path
from typing import BinaryIO

from edgedraft.runtime.base.errors import EdgedraftError

_ARCHITECTURE = "general.architecture"
_STRING, _ARRAY = 8, 9
# Bytes of each kind of value: uint8, int8, uint16, int16, uint32, int32, float32, bool, uint64, int64, float64.
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_LONGEST_NAME = 1 << 16


def gguf_architecture(path: Path) -> str:
    """Return the architecture that the GGUF file (version 2 or 3) states, such as ``llama``.

    Raises `EdgedraftError` for a file whose header cannot be read or states none.
    """
    try:
        with path.open("rb") as file:
            _, _, count = struct.unpack("<4xIQQ", _bytes(file, 24))
            for _ in range(count):
                key, kind = _text(file), _number(file, "<I")
                if key == _ARCHITECTURE and kind == _STRING:
                    return _text(file)
                _skip(file, kind)
    except (ValueError, KeyError, OverflowError, RecursionError) as error:
        raise EdgedraftError(f"{path}: not a GGUF file that can be read", remedy="download it again") from error
    raise EdgedraftError(f"{path}: the GGUF file states no {_ARCHITECTURE}", remedy="give a file of a whole model")


def _skip(file: BinaryIO, kind: int) -> None:
    """Go behind a value of ``kind``."""
    if kind == _STRING:
        _text(file)
    elif kind == _ARRAY:
        inner, count = _number(file, "<I"), _number(file, "<Q")
        if inner in _WIDTHS:
            file.seek(_WIDTHS[inner] * count, 1)
            return
        for _ in range(count):
            _skip(file, inner)
    else:
        file.seek(_WIDTHS[kind], 1)


def _text(file: BinaryIO) -> str:
    length = _number(file, "<Q")
    if length > _LONGEST_NAME:
        file.seek(length, 1)
        return ""
    return _bytes(file, length).decode("utf-8", errors="replace")


def _number(file: BinaryIO, layout: str) -> int:
    return int(struct.unpack(layout, _bytes(file, struct.calcsize(layout)))[0])


def _bytes(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise ValueError("the file ends within its header")
    return data
