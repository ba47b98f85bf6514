"""Which counts rank draft tokens best: text, drafter, target or accepted, within a domain and across two.

    python tests/benchmarks/sources.py [--prompts 160] [--code-tokens 160] [--call-tokens 96] [--json FILE]

HumanEval's code and BFCL's function calls, one half of each for ranking and the other for judging; greedy answers of
the packaged pair. What was sampled before is taken from the cache.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from domains import CALLS, CODE, domains

from edgedraft.calibration.counts import ACCEPTED, DRAFTER, SOURCES, TARGET, TEXT, TokenCounts
from edgedraft.calibration.data.samples import RANK, Sample
from edgedraft.calibration.prompts import Prompt
from edgedraft.calibration.run import Calibration
from edgedraft.calibration.text.counting import Counting, SampleCounter
from edgedraft.console import Console
from edgedraft.devices.machine import usable_cores
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.pair import Pair, PairRequest, prepare_pair
from edgedraft.exporter.pipeline.calibrating import AnswerSettings, PromptSet, calibrate_pair
from edgedraft.exporter.pipeline.requests import DRAFTER as DRAFTER_MODEL
from edgedraft.exporter.pipeline.requests import TARGET as TARGET_MODEL
from edgedraft.exporter.planning.ranking import coverage, rank_tokens
from edgedraft.exporter.planning.replay import Replay
from edgedraft.exporter.planning.scan import replay_function
from edgedraft.runtime.base.files import write_json
from edgedraft.runtime.base.records import to_plain
from edgedraft.runtime.base.tables import markdown_table
from edgedraft.runtime.onnx.session import SessionSettings

SIZES = (2048, 4096, 8192, 16384, 32768)
DRAFT_LENGTH = 3
RESAMPLES, SEED = 2000, 0


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What a list of ``size`` tokens makes of the judged half.

    ``over_target`` is the 95 % interval of τ minus the τ of the list by the target's counts.
    """

    listed: str
    source: str
    judged: str
    size: int
    coverage: float
    acceptance_rate: float
    block_efficiency: float
    over_target: tuple[float, float]


def calibrated(
    pair: Pair, samples: Sequence[Sample], name: str, most: int, console: Console
) -> tuple[Calibration, dict[str, TokenCounts]]:
    """The domain's calibration, and the ranking half's counts of all four sources."""
    asked = [
        Prompt(id=each.id, split=each.split or RANK, messages=each.messages[:-1], tools=each.tools) for each in samples
    ]
    prompts = PromptSet(name=name, prompts=tuple(asked), max_new_tokens=most)
    settings = AnswerSettings(sources=(TARGET, DRAFTER, ACCEPTED))
    calibration = calibrate_pair(pair, prompts, cache_folder(), console.progress, settings)
    written = [(number, each) for number, each in enumerate(samples, start=1) if each.split == RANK]
    counting = Counting(codec=pair.codec, end_token_ids=pair.end_token_ids, vocab_size=pair.vocab_size)
    counter = SampleCounter(counting)
    for number, sample in written:
        counter.add(number, sample)
    return calibration, {TEXT: counter.result().counts, **calibration.ranking}


def cells(
    pair: Pair, lists: Mapping[str, Mapping[str, TokenCounts]], judges: Mapping[str, Calibration], sizes: Sequence[int]
) -> list[Cell]:
    """Every list on every judge at every size."""
    found = []
    for judged, calibration in judges.items():
        for listed, counts in lists.items():
            orders = {source: rank_tokens([counts[source]], pair.end_token_ids) for source in SOURCES}
            replays = {source: replay_function(calibration.trace, order) for source, order in orders.items()}
            for size in sizes:
                by_target = replays[TARGET](size, DRAFT_LENGTH)
                for source in SOURCES:
                    outcome = replays[source](size, DRAFT_LENGTH)
                    found.append(
                        Cell(
                            listed=listed,
                            source=source,
                            judged=judged,
                            size=size,
                            coverage=coverage(calibration.scoring, orders[source], size),
                            acceptance_rate=outcome.acceptance_rate,
                            block_efficiency=outcome.block_efficiency,
                            over_target=difference(outcome, by_target),
                        )
                    )
    return found


def difference(one: Replay, other: Replay) -> tuple[float, float]:
    """95 % bootstrap interval of τ minus the other's τ, the same answers drawn for both."""
    rng = np.random.default_rng(SEED)
    drawn = rng.integers(0, len(one.tokens), (RESAMPLES, len(one.tokens)))
    tokens = one.tokens[drawn].sum(axis=1)
    differences = tokens / one.rounds[drawn].sum(axis=1) - tokens / other.rounds[drawn].sum(axis=1)
    low, high = np.quantile(differences, (0.025, 0.975))
    return float(low), float(high)


def table(found: Sequence[Cell], sizes: Sequence[int], whole: int) -> list[str]:
    """Rows of list and judge, columns of sizes: coverage, acceptance, τ."""
    header = ("list from → judged on", *(f"{size:,}" for size in sizes if size < whole), "full")
    rows: dict[str, list[str]] = {}
    for cell in found:
        name = f"{cell.listed}, {cell.source} → {cell.judged}"
        text = f"{cell.coverage:.1%} · {cell.acceptance_rate:.1%} · {cell.block_efficiency:.2f}"
        rows.setdefault(name, [name]).append(text)
    return markdown_table(header, list(rows.values()))


def main() -> None:
    """Sample, replay, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=160, help="a domain (default: 160)")
    parser.add_argument("--code-tokens", type=int, default=160)
    parser.add_argument("--call-tokens", type=int, default=96)
    parser.add_argument("--precision", default="int4")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    console = Console()
    request = PairRequest(
        target=TARGET_MODEL,
        drafter=DRAFTER_MODEL,
        target_precision=options.precision,
        drafter_precision=options.precision,
        settings=SessionSettings(threads=options.threads),
    )
    pair = prepare_pair(request, cache_folder(), console.progress)
    most = {CODE: options.code_tokens, CALLS: options.call_tokens}
    lists, judges = {}, {}
    for name, samples in domains(cache_folder(), options.prompts).items():
        judges[name], lists[name] = calibrated(pair, samples, name, most[name], console)
        told = ", ".join(f"{source} {counts.tokens:,}" for source, counts in lists[name].items())
        console.say(f"{name}: ranking tokens {told}; judged on {judges[name].scoring.tokens:,}")
    sizes = (*SIZES, pair.vocab_size)
    found = cells(pair, lists, judges, sizes)
    console.say(f"held-out coverage · acceptance · τ at draft length {DRAFT_LENGTH}")
    console.say("\n".join(table(found, sizes, pair.vocab_size)))
    apart = [cell for cell in found if cell.over_target[0] > 0 or cell.over_target[1] < 0]
    console.say("τ that differs from the target's list by more than chance (95 %, the same answers resampled):")
    for cell in apart:
        low, high = cell.over_target
        console.say(f"  {cell.listed}, {cell.source} → {cell.judged} at {cell.size:,}: {low:+.3f} to {high:+.3f}")
    if options.json:
        write_json(options.json, to_plain({"cells": found, "prompts": options.prompts, "tokens": most}))


if __name__ == "__main__":
    main()
