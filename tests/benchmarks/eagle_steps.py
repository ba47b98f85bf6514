"""What does a borrowed drafter's step cost by the size of its head, and what does that make of drafting?

    python -m tests.benchmarks.eagle_steps steps [--layer CHECKPOINT] [--sizes K ...] [--seconds S] [--json FILE]
    python -m tests.benchmarks.eagle_steps runs --sizes 151936 16384 [--acceptance A ...] [--prompts N] [--json FILE]

An EAGLE-3 layer with the 1.5B target's own shapes, borrowing its table and head (random weights; --layer takes a
checkpoint instead). ``steps`` times the drafter's passes in turn with the target's, a target's pass before each, so
that no weights are still in a cache: the first pass of a draft with 1 to 4 rows, features fused, and each further one.
From the medians it models the speed-up over the target alone at each acceptance. ``runs`` really decodes: the loop runs
both models, but each draft is made to be right with the given probability. Both modes may be run in pieces: a piece
adds to what FILE holds, and the tables are of all pieces together.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edgedraft.calibration.data.samples import SCORE
from edgedraft.calibration.prompts import shipped_prompts, take
from edgedraft.console import Console
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.convert import convert
from edgedraft.exporter.models.eagle.converting import convert_layer
from edgedraft.exporter.models.eagle.pair import EaglePair
from edgedraft.exporter.models.sources import resolve
from edgedraft.runtime.bench import Drafting, run_prompt
from edgedraft.runtime.core.decoding import plain_rounds
from edgedraft.runtime.core.limits import Limits
from edgedraft.runtime.core.pass_times import PairPassTimes, PassTimes
from edgedraft.runtime.core.policies import FIXED, PolicyChoice
from edgedraft.runtime.core.statistics import memory_bound_speed_up
from edgedraft.runtime.onnx.features import features_of
from edgedraft.runtime.onnx.session import SessionSettings
from tests.benchmarks.eagle_drafters import Scripted, draft_vocabulary, layer_source, random_layer

TARGET, PRECISION, CONTEXT = "qwen2.5-coder-1.5b-instruct", "int4", 1024
SIZES, ACCEPTANCE, LENGTHS = (151936, 32768, 16384, 8192, 4096), (0.5, 0.6, 0.7), (1, 2, 3)
ROWS = (1, 2, 3, 4)
SHAPE = {
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
}
Times = dict[str, list[float]]


def opened(layer: Path | None, threads: int) -> EaglePair:
    """Return the target with the layer, converted."""
    cache = cache_folder(None)
    target = convert(resolve(TARGET, cache), PRECISION, cache)
    source = layer_source(layer) if layer else random_layer(cache / "eagle-steps" / "random-8960", SHAPE)
    # Exact where own kernels allow it: scripted drafts are right only while the target repeats its own text.
    settings = SessionSettings(threads=threads, context_length=CONTEXT, exact=None)
    return EaglePair(target, convert_layer(source, target, PRECISION), settings)


def time_steps(pair: EaglePair, sizes: tuple[int, ...], seconds: float, times: Times) -> None:
    """Time passes for so many seconds; keys are "target 2" and "16384 first 2", "16384 next"."""
    target = pair.target_model
    text = list(range(1000, 1200))
    target.read(text)
    features = features_of(target.read(text[:8])).copy()
    layers = {size: pair.layer_graph(draft_vocabulary([text], size, pair.vocab_size)).new_layer() for size in sizes}

    for layer in layers.values():
        layer.read(text[:128], layer.fuse(np.repeat(features[:1], 128, 0)))
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for rows in ROWS:
            target.rewind(200)
            with timed(times[f"target {rows}"]):
                target.read(text[:rows])
            for size in sizes:
                layer = layers[size]
                target.rewind(200)
                target.read(text[:1])
                with timed(times[f"{size} first {rows}"]):
                    _, states = layer.read(text[:rows], layer.fuse(features[:rows]))
                with timed(times[f"{size} next"]):
                    layer.read(text[:1], states)
                layer.rewind(128)


@contextmanager
def timed(milliseconds: list[float]) -> Iterator[None]:
    started = time.perf_counter()
    yield
    milliseconds.append(1e3 * (time.perf_counter() - started))


def modelled(times: Times, size: int, acceptance: float, length: int, *, flat: bool = False) -> float:
    """Return the speed-up over the target alone that the median times give; ``flat``: as if rows were free.

    Each draft is right with probability ``acceptance`` if all before it are.
    """
    median = {key: float(np.median(values)) for key, values in times.items()}
    committed = sum(acceptance**place for place in range(length + 1))
    reads = [(1 - acceptance) * acceptance**accepted for accepted in range(length)] + [acceptance**length]
    first = sum(chance * median[f"{size} first {rows + 1}"] for rows, chance in enumerate(reads))
    verifying = median["target 1" if flat else f"target {length + 1}"]
    round_ = verifying + first + (length - 1) * median[f"{size} next"]
    return committed * median["target 1"] / round_


def show_steps(console: Console, times: Times, sizes: tuple[int, ...], acceptances: tuple[float, ...]) -> None:
    plain = float(np.median(times["target 1"]))
    costs = ", ".join(f"v({rows}) = {np.median(times[f'target {rows}']) / plain:.2f}" for rows in ROWS[1:])
    console.say(f"target: {spread(times['target 1'])} ms a pass of one row, {costs}; {len(times['target 1'])} turns")
    names = [*(f"first {rows}" for rows in ROWS), "next"]
    console.table(
        ("K", *(f"{name}, ms" for name in names), "next ÷ target", "first 2 ÷ target"),
        [
            (
                f"{size:,}",
                *(spread(times[f"{size} {name}"]) for name in names),
                *(f"{np.median(times[f'{size} {name}']) / plain:.3f}" for name in ("next", "first 2")),
            )
            for size in sizes
        ],
    )
    rows = []
    for size in sizes:
        for flat in (False, True):
            best = [
                max((modelled(times, size, chance, length, flat=flat), length) for length in LENGTHS)
                for chance in acceptances
            ]
            label = f"{size:,}" + (", v flat" if flat else "")
            rows.append((label, *(f"{speed:.2f}× (γ {length})" for speed, length in best)))
    console.table(("modelled speed-up, K", *(f"acceptance {chance}" for chance in acceptances)), rows)


def spread(values: list[float]) -> str:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"{middle:.2f} [{low:.2f}–{high:.2f}]"


def run(
    pair: EaglePair, sizes: tuple[int, ...], acceptances: tuple[float, ...], prompts: range, tokens: int, times: Times
) -> None:
    """Decode prompts in every way in turn; keys are "plain" and "16384 0.6 2", values tokens a second by prompt."""
    target = pair.target_model
    texts = {}
    for prompt in take(shipped_prompts(), SCORE, prompts.stop)[prompts.start :]:
        prompt_ids = tuple(pair.codec.encode_chat(prompt.messages))
        said = list(prompt_ids)
        for round_ in plain_rounds(target, prompt_ids):
            said += round_.token_ids
            if len(said) > len(prompt_ids) + tokens + max(LENGTHS):
                break
        texts[prompt_ids] = said
    sources = {}
    for size in sizes:
        kept = draft_vocabulary([*texts.values()], size, pair.vocab_size)
        sources[size] = Scripted(pair.sources(kept).new_source(), kept, texts)
    limits, ways = Limits(max_new_tokens=tokens, end_token_ids=()), ["plain"]
    ways += [f"{size} {chance} {length}" for chance in acceptances for length in LENGTHS for size in sizes]
    for number, prompt_ids in enumerate(texts):
        for way in ways[:: (1, -1)[number % 2]]:
            drafting = None
            if way != "plain":
                size, chance, length = map(float, way.split())
                source = sources[int(size)]
                source.acceptance = chance
                drafting = Drafting(
                    choice=PolicyChoice(name=FIXED, draft_length=int(length)),
                    source=source,
                    pass_times=PairPassTimes(target=PassTimes([1.0]), drafter=PassTimes([1.0]), acceptance_rate=chance),
                    parameter_ratio=1.0,
                    byte_ratio=1.0,
                )
            done = run_prompt(target, drafting, prompt_ids, limits, time.perf_counter)
            times[way].append(done.tokens_per_second)
            times[f"{way}, tau"].append(done.statistics.block_efficiency)
            assert list(done.token_ids) == texts[prompt_ids][len(prompt_ids) :][: len(done.token_ids)]


def show_runs(console: Console, pair: EaglePair, times: Times) -> None:
    plain, rows = np.array(times["plain"]), []
    for way in [way for way in times if way != "plain" and not way.endswith("tau")]:
        size, chance, length = way.split()
        tau, ratios = float(np.mean(times[f"{way}, tau"])), np.array(times[way]) / plain
        trimmed, whole = pair.trimmed_size(int(size)), pair.target_size
        cost = trimmed.weight_bytes / whole.weight_bytes
        full = times.get(f"{pair.vocab_size} {chance} {length}")
        beside = spread(list(np.array(times[way]) / np.array(full))) if full else ""
        mbsu = memory_bound_speed_up(tau, cost, int(length))
        rows.append((f"{int(size):,}", chance, length, f"{tau:.2f}", spread(times[way]), spread(list(ratios))))
        rows[-1] += (f"{mbsu:.2f}", beside)
    console.say(f"target alone: {spread(times['plain'])} tokens/s, {len(plain)} prompts")
    header = ("K", "acceptance", "γ", "τ", "tokens/s", "÷ plain", "MBSU by bytes", "÷ full head")
    console.table(header, rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("steps", "runs"))
    parser.add_argument("--layer", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--acceptance", type=float, nargs="+", default=ACCEPTANCE)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--first", type=int, default=0, help="the first of the prompts that are decoded")
    parser.add_argument("--prompts", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="adds to this file")
    options = parser.parse_args()
    console, times = Console(), defaultdict[str, list[float]](list)
    if options.json and options.json.is_file():
        times |= json.loads(options.json.read_text())
    pair = opened(options.layer, options.threads)
    sizes, acceptances = tuple(options.sizes), tuple(options.acceptance)
    console.say(f"kernels: {pair.target_graph.kernels.name}, exact: {pair.target_graph.exactness.exact}")
    if options.mode == "steps":
        time_steps(pair, sizes, options.seconds, times)
        show_steps(console, times, sizes, acceptances)
    else:
        prompts = range(options.first, options.first + options.prompts)
        run(pair, sizes, acceptances, prompts, options.tokens, times)
        show_runs(console, pair, times)
    if options.json:
        options.json.write_text(json.dumps(times))
    return 0


if __name__ == "__main__":
    sys.exit(main())
