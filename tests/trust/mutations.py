"""Seeded mutations of files: bytes of any file, values of JSON and TOML, headers of safetensors."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        -1,
        0,
        -0.0,
        1,
        7,
        2**31 - 1,
        2**31,
        2**53,
        2**63 - 1,
        2**63,
        -(2**63),
        2**64,
        10**30,
        1e308,
        0.5,
    ),
    *("", "a", "a" * 300, "a" * 100_000, "../x", "/etc/hostname", "a\0b", "\x1b[2J\x07", "\u202e", "é", "CON", "a\nb"),
    *([], {}, [1], ["a"], [[]], {"a": 1}, [None], [-1], [2**63], [1.5, "x"], {"": {}}),
)
RAW = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "9" * 5000,
    r'"\ud800"',
    "[" * 5000,
    "[" * 200 + "]" * 200,
    '{"a":1,"a":2}',
    "-0",
)
"""Texts that are no JSON value of Python, put in the place of one."""

_MARK = "edgedraft-mark-5"
_NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][+-]?\d+)?")


def mutate_bytes(content: bytes, rng: Random) -> bytes:
    """Return the content with one damage of a disk, a transfer or a hand."""
    data = bytearray(content)
    start = rng.randrange(len(data) + 1)
    end = min(len(data), start + rng.choice((1, 2, 8, 64, 4096)))
    match rng.choice(("bits", "zeros", "ones", "noise", "cut", "without", "twice", "inserted", "number", "empty")):
        case "bits" if data:
            for _ in range(rng.choice((1, 1, 1, 4))):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case "zeros":
            data[start:end] = bytes(end - start)
        case "ones":
            data[start:end] = b"\xff" * (end - start)
        case "noise":
            data[start:end] = rng.randbytes(end - start)
        case "cut":
            del data[start:]
        case "without":
            del data[start:end]
        case "twice":
            data[start:start] = data[start:end]
        case "inserted":
            data[start:start] = rng.randbytes(rng.choice((1, 4, 8, 100)))
        case "number":
            return _other_number(content, rng)
        case "empty":
            return b""
    return bytes(data)


def _other_number(content: bytes, rng: Random) -> bytes:
    found = [match.span() for match in _NUMBER.finditer(content)]
    if not found:
        return content
    start, end = rng.choice(found)
    new = rng.choice(
        (b"0", b"-0", b"-1", b"9" * 20, b"9" * 400, b"9" * 5000, b"1e999", b"nan", b"inf", b"1.5", b"true")
    )
    return content[:start] + new + content[end:]


def mutate_json(content: bytes, rng: Random) -> bytes:
    """Return JSON in which one value, or one key, is another."""
    value = json.loads(content)
    holders = list(_holders(value))
    holder, key = rng.choice(holders)
    how = rng.choice(("value", "value", "value", "raw", "remove", "key", "copy"))
    if how == "remove":
        del holder[key]
    elif how == "key" and isinstance(holder, dict):
        holder[rng.choice(("", "a", "\x1b[2J", str(key) * 2, "a" * 1000))] = holder.pop(key)
    elif how == "copy":
        other, place = rng.choice(holders)
        holder[key] = json.loads(json.dumps(other[place]))
    elif how == "raw":
        holder[key] = _MARK
        return json.dumps(value).replace(f'"{_MARK}"', rng.choice(RAW)).encode()
    else:
        holder[key] = rng.choice(VALUES)
    return json.dumps(value).encode()


def _holders(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the place of every value inside ``value``; of long lists and objects only some."""
    places = list(value if isinstance(value, dict) else range(len(value)))
    for key in places[:40] + places[-2:]:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _holders(value[key])


def mutate_safetensors(content: bytes, rng: Random) -> bytes:
    """Return the file with another header, whose length is right, or with other bytes."""
    if rng.random() < 0.4:
        return mutate_bytes(content, rng)
    length = int.from_bytes(content[:8], "little")
    header = mutate_json(content[8 : 8 + length], rng)
    stated = len(header) if rng.random() < 0.9 else rng.choice((0, 2**31, 2**63, len(header) + 1))
    return stated.to_bytes(8, "little") + header + content[8 + length :]


def mutate_template(content: bytes, rng: Random) -> bytes:
    """Return the template with a fragment of a hostile one, or with other bytes."""
    if rng.random() < 0.5:
        return mutate_bytes(content, rng)
    text = content.decode()
    place = rng.choice([0, len(text), *(match.end() for match in re.finditer(r"%\}|\}\}", text))])
    made = _fragment(rng, 3)
    return (text[:place] + made + text[place:]).encode()


def _fragment(rng: Random, depth: int) -> str:
    """Return statements around statements, of operations that grow or repeat."""
    values = (
        "messages",
        "n.s",
        "'a' * 9999",
        "range(99999)|list",
        "n.s ~ n.s",
        "[n.s, n.s]",
        "n.s + n.s",
        "10 ** 9999",
    )
    filters = (
        "upper",
        "tojson",
        "list",
        "sort",
        "join('x' * 999)",
        "center(99999)",
        "replace('a', 'a' * 999)",
        "string",
    )
    value = f"({rng.choice(values)})" + (f"|{rng.choice(filters)}" if rng.random() < 0.5 else "")
    inner = _fragment(rng, depth - 1) if depth else f"{{{{ {value} }}}}"
    shapes = (
        "{{% set n = namespace(s='ab') %}}{{% for i in range(99999) %}}{{% set n.s = {value} %}}{inner}{{% endfor %}}",
        "{{% for x in range({count}) %}}{inner}{{% endfor %}}",
        "{{% macro f(k) %}}{inner}{{{{ f(k - 1) if k }}}}{{{{ f(k - 1) if k }}}}{{% endmacro %}}{{{{ f({count}) }}}}",
        "{{% set y %}}{inner}{{% endset %}}{{{{ y }}}}{{{{ y * {count} }}}}",
        "{{{{ {value} }}}}{inner}",
        "{{% if {value} == {value} %}}{inner}{{% endif %}}",
    )
    return rng.choice(shapes).format(value=value, inner=inner, count=rng.choice((2, 60, 99999, 10**9)))


def replace_by_no_file(path: Path, rng: Random) -> str:
    """Put something that is no plain file, or is not there, in the place of a file; return what."""
    path.unlink()
    how = rng.choice(("a pipe", "a folder", "a device", "a loop", "nothing", "gigabytes"))
    match how:
        case "a pipe":
            os.mkfifo(path)
        case "a folder":
            path.mkdir()
        case "a device":
            path.symlink_to(rng.choice(("/dev/zero", "/dev/null", "/dev/random")))
        case "a loop":
            path.symlink_to(path.name)
        case "gigabytes":
            with path.open("wb") as file:
                file.truncate(2**36)
    return how
