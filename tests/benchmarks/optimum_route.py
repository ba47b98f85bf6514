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
from edgedraft.exporter.graph.loading import load_graph, vocabulary_width
from edgedraft.exporter.graph.precisions import PRECISIONS
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.convert import OnnxFolder, convert
from edgedraft.exporter.models.end_tokens import end_token_ids
from edgedraft.exporter.models.sources import resolve
from edgedraft.exporter.models.trimmed import write_trimmed
from edgedraft.exporter.models.via_optimum import BUILDER, EXPORT_BACKENDS, OPTIMUM
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.model import prefill
from edgedraft.runtime.core.statistics import median_interval
from edgedraft.runtime.onnx.memory import OnnxModel
from edgedraft.runtime.onnx.session import SessionSettings, open_model
from edgedraft.runtime.text.codec import TextCodec

REWOUND = 512
"""Tokens in memory while rewinding is timed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """An answer's tokens, and how many of them a second."""

    tokens: tuple[int, ...]
    tokens_per_second: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Trimmed:
    """A trimmed drafter: seconds it took, what it says, and a pass that goes on and one that takes back a token."""

    seconds: float
    said: list[Said]
    pass_milliseconds: tuple[float, float]


def greedy(model: OnnxModel, prompt: Sequence[int], count: int) -> Said:
    """The best tokens after ``prompt``, and their speed."""
    model.rewind(0)
    row, tokens = prefill(model, prompt), []
    started = time.perf_counter()
    while len(tokens) < count:
        tokens.append(int(row.argmax()))
        row = model.read(tokens[-1:]).logits[0]
    return Said(tokens=tuple(tokens), tokens_per_second=count / (time.perf_counter() - started))


def pass_milliseconds(model: OnnxModel, text: Sequence[int], repeats: int = 15) -> tuple[float, float]:
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
    return median_interval(taken[False]).value, median_interval(taken[True]).value


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


class Comparison:
    """One model by both routes."""

    def __init__(self, options: argparse.Namespace, console: Console) -> None:
        self.console, self.count, cache = console, options.tokens, cache_folder()
        self.settings = SessionSettings(threads=options.threads, context_length=2 * REWOUND)
        source = resolve(options.model, cache, console.progress)
        self.folders = {}
        for route in EXPORT_BACKENDS:
            started = time.perf_counter()
            made = self.folders[route] = convert(source, options.precision, cache, console.progress, route)
            console.note(f"{route}: {time.perf_counter() - started:.0f} s in all")
            for cost in made.costs:
                console.note(f"  {cost.what}: {cost.seconds:.0f} s, {cost.peak_bytes / 2**30:.1f} GiB at most")
        codec, asked = TextCodec(self.folders[BUILDER].path), take(shipped_prompts(), SCORE, options.prompts)
        self.prompts = [codec.encode_chat([dict(message) for message in prompt.messages]) for prompt in asked]

    def whole(self) -> dict[str, list[Said]]:
        """What the full drafters say, one opened after the other."""
        said = {}
        for route, folder in self.folders.items():
            model = open_model(folder.graph, self.settings)
            said[route] = [greedy(model, prompt, self.count) for prompt in self.prompts]
            del model
            self.console.progress("full drafters", len(said), len(EXPORT_BACKENDS))
        return said

    def kept(self, said: Sequence[Said], size: int) -> IndexMap:
        """Without calibration: what the full drafter says, filled up with the lowest ids."""
        folder = self.folders[BUILDER]
        width = vocabulary_width(load_graph(folder.graph))
        spoken = {token for one in said for token in one.tokens} | set(end_token_ids(folder.path))
        rest = (token for token in range(width) if token not in spoken)
        ids = np.array(sorted([*spoken, *(next(rest) for _ in range(size - len(spoken)))]))
        return IndexMap(target_ids=ids, target_vocab_size=width)

    def trimmed(self, kept: IndexMap, room: Path) -> dict[str, Trimmed]:
        """The trimmed drafters, open together and answering in turns."""
        cut = {route: trimmed(folder, kept, room / route) for route, folder in self.folders.items()}
        models = {route: open_model(graph, self.settings) for route, (graph, _) in cut.items()}
        said: dict[str, list[Said]] = {route: [] for route in EXPORT_BACKENDS}
        for number, prompt in enumerate(self.prompts):
            for route in EXPORT_BACKENDS if number % 2 else EXPORT_BACKENDS[::-1]:
                said[route].append(greedy(models[route], prompt, self.count))
            self.console.progress("trimmed drafters in turns", number + 1, len(self.prompts))
        passes = {route: pass_milliseconds(model, self.prompts[0]) for route, model in models.items()}
        return {
            route: Trimmed(seconds=cut[route][1], said=said[route], pass_milliseconds=passes[route])
            for route in EXPORT_BACKENDS
        }

    def row(self, route: str, found: Trimmed) -> tuple[str, ...]:
        folder, speed = self.folders[route], median_interval([said.tokens_per_second for said in found.said])
        return (
            route,
            f"{len(load_graph(folder.graph).graph):,}",
            f"{folder.file_bytes / 1e6:,.0f}",
            f"{found.seconds:.1f}",
            speed.text(1),
            *(f"{value:.1f}" for value in found.pass_milliseconds),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="qwen2.5-coder-0.5b-instruct")
    parser.add_argument("--precision", default="fp32", choices=PRECISIONS)
    parser.add_argument("--vocab-size", type=int, default=16_384)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--threads", type=int, default=usable_cores())
    options = parser.parse_args()
    console = Console()
    comparison = Comparison(options, console)
    whole = comparison.whole()
    kept = comparison.kept([said for route in EXPORT_BACKENDS for said in whole[route]], options.vocab_size)
    with tempfile.TemporaryDirectory(dir=cache_folder()) as room:
        found = comparison.trimmed(kept, Path(room))
    header = ("route", "nodes", "MB", "s to trim", "tokens/s, trimmed", f"ms a pass at {REWOUND}", "ms with a rewind")
    console.table(header, [comparison.row(route, found[route]) for route in EXPORT_BACKENDS])
    pairs = {
        "full drafters": (whole[BUILDER], whole[OPTIMUM]),
        "trimmed drafters": (found[BUILDER].said, found[OPTIMUM].said),
        "Optimum's, before and after trimming": (whole[OPTIMUM], found[OPTIMUM].said),
    }
    for what, both in pairs.items():
        texts = ", ".join(first_difference(one, other) for one, other in zip(*both, strict=True))
        console.say(f"{what}, prompt by prompt: {texts}")


if __name__ == "__main__":
    main()
