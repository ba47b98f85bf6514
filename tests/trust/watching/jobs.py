"""The functions that forked children run; those that compare answers print their verdict as the last line."""

import itertools
import json
import os
import threading
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgedraft.runtime.engine import Engine

_PROMPT_TOKENS, _ANSWER_TOKENS = 24, 16


def command(*arguments: str) -> int:
    """Run one edgedraft command with a simulated clock, so that the same command writes the same bytes."""
    from edgedraft.__main__ import main

    ticks = itertools.count()
    time.perf_counter = lambda: 1e-3 * next(ticks)
    return main(arguments)


def fork(bundle: str, threads: str, seed: str) -> int:
    """Answer, fork, answer in both processes, and compare."""
    from edgedraft.runtime.base.errors import EdgedraftError

    engine, texts = _opened(bundle, int(threads), int(seed), 2)
    right = [answer(engine, text) for text in texts]
    answer(engine, texts[0])  # the idle slot now holds this text
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said: object = answer(engine, texts[1])
        except EdgedraftError:
            said = "refused"
        os.write(writing, json.dumps(said).encode())
        os._exit(0)
    os.close(writing)
    status = os.waitpid(child, 0)[1]
    said = json.loads(os.read(reading, 1 << 16) or b"null")
    ours = answer(engine, texts[0]) == right[0]
    held = status == 0 and ours and said in (right[1], "refused")
    print("wrong" if not held else "refused" if said == "refused" else "held")
    return 0


def several(bundle: str, number: str, seed: str) -> int:
    """Answer one text per thread, all at once, and compare with answers one after the other."""
    engine, texts = _opened(bundle, 2, int(seed), int(number))
    right = [answer(engine, text) for text in texts]
    found: dict[int, list[int]] = {}
    running = [
        threading.Thread(target=lambda place=place: found.update({place: answer(engine, texts[place])}))
        for place in range(len(texts))
    ]
    for each in running:
        each.start()
    for each in running:
        each.join()
    print("held" if [found.get(place) for place in range(len(texts))] == right else "wrong")
    return 0


def answer(engine: "Engine", text: list[int]) -> list[int]:
    """Return the tokens of an answer."""
    from edgedraft.runtime.engine import DecodingOptions

    options = DecodingOptions(policy="fixed", draft_length=2)
    rounds = engine.rounds(text, engine.limits(_ANSWER_TOKENS), options)
    return [token for each in rounds for token in each.token_ids]


def _opened(bundle: str, threads: int, seed: int, texts: int) -> tuple["Engine", list[list[int]]]:
    from edgedraft.runtime.engine import Engine

    engine, rng = Engine.open(Path(bundle), threads=threads), Random(seed)
    width = engine.bundle.manifest.target_vocab_size
    return engine, [[rng.randrange(width) for _ in range(_PROMPT_TOKENS)] for _ in range(texts)]


def unchecked(*arguments: str) -> int:
    """Run a command that ignores the checksums of the cache: a fault planted for the suite's own tests."""
    from edgedraft.exporter.models import convert

    convert.is_whole = lambda folder: (folder / "model.onnx").is_file()
    return command(*arguments)


def probe(*arguments: str) -> int:
    """Probe without measuring: the profile is made from fixed times."""
    from edgedraft.devices.probing import probe as probing
    from edgedraft.devices.probing.phone import Naming, phone_profile
    from edgedraft.devices.probing.posted import read_probe
    from tests.trust.attacks.server import OFFERED
    from tests.trust.attacks.shapes import PROBE

    profile = phone_profile(read_probe(PROBE), OFFERED, Naming(name="device"))
    probing.probe_machine = lambda *rest: profile
    return command(*arguments)


def post(folder: str) -> int:
    """Take one bench that a page posts, as the page's server does."""
    from edgedraft.devices.probing.phone import Naming
    from edgedraft.exporter.pipeline.phone_results import PhoneResults
    from tests.trust.attacks.shapes import BENCH

    results = PhoneResults(Path(folder), Naming(name="device"), lambda result: None)
    results.take_bench(BENCH)
    return 0


def fetch(wheels: str, cache: str) -> int:
    """Fetch a packaged model of a few bytes, whose wheels are copied instead of downloaded."""
    from hashlib import sha256

    from edgedraft.exporter.models import fetch as fetching
    from edgedraft.exporter.models import packaged_models
    from edgedraft.exporter.models.packaged_models import PackagedModel, PinnedWheel
    from tests.trust.subjects import WHEEL_MEMBER

    content = bytes([1]) * 5000 + bytes([2]) * 5000
    facts = {"title": "Tiny", "license": "none", "base_model": "none/Tiny", "requirements": ""}
    model = PackagedModel(
        name="tiny",
        file="tiny.gguf",
        bytes=len(content),
        sha256=sha256(content).hexdigest(),
        member=WHEEL_MEMBER,
        **facts,
    )
    files = [Path(wheels) / f"tiny_part{part}-1.0-py3-none-any.whl" for part in (1, 2)]
    pins = tuple(
        PinnedWheel(project=f"tiny-part{part}", version="1.0", sha256=sha256(file.read_bytes()).hexdigest())
        for part, file in enumerate(files, start=1)
    )
    fetching.pinned_wheels = lambda model: pins
    fetching._pip_download = lambda wheel, parts: (parts / wheel.file).write_bytes(
        (Path(wheels) / wheel.file).read_bytes()
    )
    packaged_models.packaged_model = lambda name: model
    return command("models", "fetch", "tiny", "--cache", cache)
