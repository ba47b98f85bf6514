"""Random posts: sound results with anything changed in them, JSON of any shape, and bytes that are no JSON."""

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

_DEVICE = {
    "name": "Pixel",
    "user_agent": "Mozilla/5.0",
    "adapter": "",
    "cores": 8,
    "memory_gigabytes": 4,
    "shader_f16": False,
    "max_buffer_bytes": 1,
    "max_binding_bytes": 1,
}
_STEP = {"provider": "wasm", "precision": "int4", "threads": 2, "layers": 3, "weight_bytes": 14_000_000}
PROBE = {
    "device": _DEVICE,
    "onnxruntime": "1",
    "date": "2026-11-29",
    "seconds": 3,
    "steps": [
        {**_STEP, "width": width, "rows": rows, "seconds": [0.01 * width / 1024 * (1 + rows / 9)] * 3}
        for width in (1024, 2048)
        for rows in (1, 2, 4)
    ],
    "overheads": [{"provider": "wasm", "seconds": [0, 0.001]}],
    "skipped": [],
}
BENCH = {
    "device": _DEVICE,
    "onnxruntime": "1",
    "date": "2026-11-29",
    "provider": {"target": "wasm", "drafter": "wasm"},
    "report": {"prompts": 3, "ways": {"plain": {"anything": [1]}}},
}
_LEAVES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**300, 10**400, 10**4299),
    *(0.0, -0.0, 5e-324, 1e-310, 1e308, -1e308, 1.5, 1e-9),
    *("", "x", "\ud800", "\udfff\ud800", "\x00", "\x1b[2J", "\u202e", "é" * 5000, "a" * 100_000, "wasm", "2026-13-45"),
    *([], {}, [[]], [None], {"": None}, {"\ud800": 1}, {"__proto__": {}}, [1] * 2000),
)
_TEXTS = (
    *(b"", b" ", b"NaN", b"[Infinity]", b"-Infinity", b"1e999", b"[-1e999]", b'"\\ud800"', b'{"a":1,"a":2}'),
    *(b"[" * 100_000, b"[" * 900 + b"]" * 900, b'{"a":' * 5000, b"9" * 5000, b"-", b"\xff\xfe\x00", b"\xef\xbb\xbf{}"),
    *(b'"\xed\xa0\x80"', b"{} {}", b"null", b'"', b"\x00", b"a" * (2**20 + 1), b"[" + b"1," * 400_000 + b"1]"),
)
_HEADERS = (
    *({}, {}, {}, {"Content-Type": "application/json; charset=utf-8"}, {"Content-Type": "text/plain"}),
    *({"Content-Type": "é"}, {"Content-Encoding": "gzip"}, {"Accept": "text/html"}, {"Expect": "100-continue"}),
)


def posts(rng: Random, count: int) -> Iterator[tuple[str, bytes, dict[str, str]]]:
    """Yield the path, body and headers of ``count`` posts."""
    for _ in range(count):
        path, sound = rng.choice((("results/probe", PROBE), ("results/bench", BENCH)))
        kind = rng.random()
        if kind < 0.6:
            body = json.dumps(changed(sound, rng)).encode()
        elif kind < 0.75:
            body = json.dumps(anything(rng, 6)).encode()
        elif kind < 0.9:
            body = rng.choice(_TEXTS)
        else:
            body = damaged(json.dumps(sound).encode(), rng)
        yield path, body, dict(rng.choice(_HEADERS))


def changed(sound: Any, rng: Random) -> Any:
    """Return a copy of ``sound`` with one to three values replaced, removed or added."""
    value = copy.deepcopy(sound)
    for _ in range(rng.randrange(1, 4)):
        containers = [each for each in _walk(value) if isinstance(each, dict | list) and each]
        if not containers:
            break
        inside = rng.choice(containers)
        key = rng.choice(list(inside) if isinstance(inside, dict) else range(len(inside)))
        match rng.randrange(4):
            case 0:
                del inside[key]
            case 1 if isinstance(inside, dict):
                inside[rng.choice(("steps", "", "\ud800", "x" * 1000))] = _leaf(rng)
            case 2 if isinstance(inside, list):
                inside.append(copy.deepcopy(inside[key]))
            case _:
                inside[key] = _leaf(rng)
    return value


def anything(rng: Random, depth: int) -> Any:
    """Return a random JSON value of at most this depth."""
    kind = rng.random() if depth else 0.0
    if kind < 0.4:
        return _leaf(rng)
    size = rng.randrange(4)
    if kind < 0.7:
        return [anything(rng, depth - 1) for _ in range(size)]
    return {
        rng.choice(("device", "steps", "report", "ways", "\ud800", "")): anything(rng, depth - 1) for _ in range(size)
    }


def damaged(text: bytes, rng: Random) -> bytes:
    """Return ``text`` with some bytes changed, or cut short."""
    content = bytearray(text)
    for _ in range(rng.randrange(1, 6)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    return bytes(content[: rng.choice((len(content), rng.randrange(len(content))))])


def _leaf(rng: Random) -> Any:
    """Return a copy: what is put into one post must not be changed by the next."""
    return copy.deepcopy(rng.choice(_LEAVES))


def _walk(value: Any) -> Iterator[Any]:
    yield value
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inside:
        yield from _walk(each)
