"""Both export routes for one model, side by side: what making, trimming and running it takes, and whether texts agree.

    python tests/benchmarks/optimum_route.py [--model NAME] [--precision fp32] [--vocab-size 16384] [--prompts 4]

Optimum's environment is made in the cache folder on the first run. The trimmed drafters answer prompt by prompt in
turns, so that both meet the same neighbours; the full ones are opened one after the other, for their texts only.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedraft.calibration.data.samples import SCORE
from edgedraft.calibration.prompts import shipped_prompts, take
from edgedraft.console import Console
from edgedraft.devices.machine import usable_cores
from edgedraft.exporter.cache import cache_folder
from edgedraft.exporter.convert import BUILDER, OPTIMUM, ROUTES, OnnxFolder, convert, end_token_ids
from edgedraft.exporter.graphs import load_graph, vocabulary_width
from edgedraft.exporter.precisions import PRECISIONS
from edgedraft.exporter.sources import resolve
from edgedraft.exporter.trimmed import write_trimmed
from edgedraft.runtime.index_map import IndexMap
from edgedraft.runtime.memory import OnnxModel
from edgedraft.runtime.model import prefill
from edgedraft.runtime.session import SessionSettings, open_model
from edgedraft.runtime.statistics import spread
from edgedraft.runtime.text import TextCodec

REWOUND = 512
"""Tokens in memory while rewinding is timed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """An answer's tokens, and how many of them a second."""

    tokens: tuple[int, ...]
    tokens_per_second: float


def greedy(model: OnnxModel, prompt: Sequence[int], count: int) -> Said:
    """The best tokens after ``prompt``, and their speed."""
    model.rewind(0)
    row, tokens = prefill(model, prompt), []
    started = time.perf_counter()
    while len(tokens) < count:
        tokens.append(int(row.argmax()))
        row = model.read(tokens[-1:])[0]
    return Said(tokens=tuple(tokens), tokens_per_second=count / (time.perf_counter() - started))


def rewinding_milliseconds(model: OnnxModel, text: Sequence[int], repeats: int = 15) -> tuple[float, float]:
    """Median pass over a token that goes on, and over one that takes another's place, behind ``REWOUND`` tokens."""
    model.rewind(0)
    prefill(model, (list(text) * REWOUND)[:REWOUND])
    taken: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(repeats):
        for rewinds in (True, False):
            model.rewind(model.length - (2 if rewinds else 0))
            started = time.perf_counter()
            model.read(text[:1])
            taken[rewinds].append(1e3 * (time.perf_counter() - started))
    return spread(taken[False]).median, spread(taken[True]).median


def trimmed(folder: OnnxFolder, kept: IndexMap, output: Path) -> tuple[Path, float]:
    """The folder's model trimmed to ``kept`` in both layouts, and the seconds it took."""
    started = time.perf_counter()
    output.mkdir()
    write_trimmed(load_graph(folder.graph), kept, kept, output)
    return output / "expanded.onnx", time.perf_counter() - started


def first_difference(one: Said, other: Said) -> str:
    pairs = zip(one.tokens, other.tokens, strict=True)
    place = next((number for number, (mine, theirs) in enumerate(pairs) if mine != theirs), None)
    return "the same" if place is None else f"differ at token {place}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="qwen2.5-coder-0.5b-instruct")
    parser.add_argument("--precision", default="fp32", choices=PRECISIONS)
    parser.add_argument("--vocab-size", type=int, default=16_384)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--threads", type=int, default=usable_cores())
    options = parser.parse_args()
    console, cache = Console(), cache_folder()
    settings = SessionSettings(threads=options.threads, context_length=2 * REWOUND)
    source = resolve(options.model, cache, console.progress)
    folders = {}
    for route in ROUTES:
        started = time.perf_counter()
        folders[route] = convert(source, options.precision, cache, console.progress, route)
        console.note(f"{route}: {time.perf_counter() - started:.0f} s in all")
        for cost in folders[route].costs:
            console.note(f"  {cost.what}: {cost.seconds:.0f} s, {cost.peak_bytes / 2**30:.1f} GiB at most")
    codec = TextCodec(folders[BUILDER].path)
    asked = take(shipped_prompts(), SCORE, options.prompts)
    prompts = [codec.encode_chat([dict(message) for message in prompt.messages]) for prompt in asked]

    whole: dict[str, list[Said]] = {}
    for route, folder in folders.items():
        model = open_model(folder.graph, settings)
        whole[route] = [greedy(model, prompt, options.tokens) for prompt in prompts]
        del model
        console.progress("full drafters", len(whole), len(ROUTES))

    # No calibration here: what the full drafter says, filled up with the lowest ids.
    width = vocabulary_width(load_graph(folders[BUILDER].graph))
    spoken = {token for said in whole[BUILDER] for token in said.tokens} | set(end_token_ids(folders[BUILDER].path))
    rest = (token for token in range(width) if token not in spoken)
    ids = np.array(sorted([*spoken, *(next(rest) for _ in range(options.vocab_size - len(spoken)))]))
    kept = IndexMap(target_ids=ids, target_vocab_size=width)

    with tempfile.TemporaryDirectory(dir=cache) as room:
        cut = {route: trimmed(folder, kept, Path(room) / route) for route, folder in folders.items()}
        models = {route: open_model(graph, settings) for route, (graph, _) in cut.items()}
        answers: dict[str, list[Said]] = {route: [] for route in ROUTES}
        for number, prompt in enumerate(prompts):
            for route in ROUTES if number % 2 else ROUTES[::-1]:
                answers[route].append(greedy(models[route], prompt, options.tokens))
            console.progress("trimmed drafters in turns", number + 1, len(prompts))
        rewinds = {route: rewinding_milliseconds(model, prompts[0]) for route, model in models.items()}

    rows = []
    for route in ROUTES:
        speed = spread([said.tokens_per_second for said in answers[route]])
        nodes = len(list(load_graph(folders[route].graph).graph))
        on, back = rewinds[route]
        rows.append(
            (
                route,
                f"{nodes:,}",
                f"{folders[route].file_bytes / 1e6:,.0f}",
                f"{cut[route][1]:.1f}",
                f"{speed.median:.1f} [{speed.low:.1f}–{speed.high:.1f}]",
                f"{on:.1f}",
                f"{back:.1f}",
            )
        )
    console.table(
        ("route", "nodes", "MB", "s to trim", "tokens/s, trimmed", "ms a pass at 512", "ms with a rewind"), rows
    )
    for what, said in (("full", whole), ("trimmed", answers)):
        found = [first_difference(one, other) for one, other in zip(said[BUILDER], said[OPTIMUM], strict=True)]
        console.say(f"{what} drafters' texts, prompt by prompt: {', '.join(found)}")
    same = [first_difference(one, other) for one, other in zip(whole[OPTIMUM], answers[OPTIMUM], strict=True)]
    console.say(f"Optimum's drafter before and after trimming: {', '.join(same)}")


if __name__ == "__main__":
    main()
