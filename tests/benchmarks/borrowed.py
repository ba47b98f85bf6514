"""Is a borrowed drafter exact on the real int4 target, and what does it gain? An EAGLE checkpoint against all others.

    python -m tests.benchmarks.borrowed CHECKPOINT [--prompts N] [--tokens N] [--sizes K ...] [--drafter MODEL]

The packaged 1.5B target decodes held-out coding prompts alone, with the checkpoint's layer at every size of its head
and draft length, adaptively, and (--drafter) with an independent drafter of the whole vocabulary; all take turns,
prompt by prompt. With own kernels the target is exact: if a text differs from the target's alone, the exit status is 1.
--ranked FOLDER holds what `tests.benchmarks.train_eagle` wrote: the draft vocabulary is what those answers use most.
--humaneval takes HumanEval's problems instead of the packaged prompts. --json adds the runs to a file, so that a long
measurement can be made in pieces (--first).
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from edgedraft.calibration.data.samples import SCORE
from edgedraft.calibration.prompts import shipped_prompts, take
from edgedraft.console import Console
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.convert import convert
from edgedraft.exporter.models.eagle.pair import EaglePair
from edgedraft.exporter.models.fitting import open_fitted
from edgedraft.exporter.models.sources import resolve
from edgedraft.runtime.bench import PLAIN, Drafting, PromptRun, bench, summarize
from edgedraft.runtime.core.index_map import IndexMap
from edgedraft.runtime.core.limits import Limits
from edgedraft.runtime.core.pass_times import PairPassTimes, PassTimes
from edgedraft.runtime.core.policies import ADAPTIVE, FIXED, PolicyChoice
from edgedraft.runtime.core.sources import ModelSources
from edgedraft.runtime.core.statistics import DraftStatistics
from edgedraft.runtime.core.token_drafter import TokenSource
from tests.benchmarks import eagle_files, humaneval
from tests.benchmarks.eagle_steps import opened

SIZES, LENGTHS = (151936, 8192), (1, 2)
PACKED = "int4"


def ranked_map(pair: EaglePair, folder: Path, size: int) -> IndexMap:
    """Return the ``size`` tokens that the answers in ``folder`` use most, the end of an answer among them."""
    if size == pair.vocab_size:
        return IndexMap.identity(size)
    order = eagle_files.token_order(sorted(folder.glob("features-*/train/*/*.ckpt")), pair.vocab_size)
    order = np.concatenate([pair.end_token_ids, order[~np.isin(order, pair.end_token_ids)]])
    return IndexMap(target_ids=np.sort(order[:size]), target_vocab_size=pair.vocab_size)


def drafting(source: TokenSource, policy: str, length: int, ratios: tuple[float, float] = (1.0, 1.0)) -> Drafting:
    """Return a way of decoding; pass times start at those of this machine's kernels, and are measured on the way."""
    times = PairPassTimes(target=PassTimes([0.024, 0.025, 0.026]), drafter=PassTimes([0.002]), acceptance_rate=0.3)
    choice = PolicyChoice(name=policy, draft_length=length)
    return Drafting(choice=choice, source=source, pass_times=times, parameter_ratio=ratios[0], byte_ratio=ratios[1])


def ways_of(pair: EaglePair, options: argparse.Namespace) -> dict[str, Drafting]:
    """Return every way of drafting by its name."""
    ways: dict[str, Drafting] = {}
    for size in options.sizes:
        source = pair.sources(ranked_map(pair, options.ranked, size)).new_source()
        step, whole = pair.trimmed_size(size), pair.target_size
        ratios = step.parameters / whole.parameters, step.weight_bytes / whole.weight_bytes
        for length in options.lengths:
            ways[f"borrowed, K {size:,}, γ {length}"] = drafting(source, FIXED, length, ratios)
        if size == min(options.sizes):
            ways[f"borrowed, K {size:,}, adaptive"] = drafting(source, ADAPTIVE, 1)
    if options.drafter:
        cache = cache_folder(None)
        folder = convert(resolve(options.drafter, cache), PACKED, cache)
        graph = open_fitted(folder.graph, pair.vocab_size, pair.settings)
        independent = ModelSources(graph=graph, index_map=IndexMap.identity(pair.vocab_size)).new_source()
        ways["independent, full, γ 1"] = drafting(independent, FIXED, 1)
    return ways


def asked(options: argparse.Namespace, pair: EaglePair) -> list[list[int]]:
    """Return the prompts' token ids."""
    end = options.first + options.prompts
    if options.humaneval:
        chats = [humaneval.chat(problem) for problem in humaneval.problems(end)]
    else:
        chats = [list(prompt.messages) for prompt in take(shipped_prompts(), SCORE, end)]
    return [list(pair.codec.encode_chat(messages)) for messages in chats[options.first :]]


def plain_run(run: PromptRun) -> dict[str, object]:
    return asdict(run)


def read_run(data: dict[str, object]) -> PromptRun:
    facts = dict(data)
    statistics = DraftStatistics(**facts.pop("statistics"))  # type: ignore[arg-type]
    return PromptRun(statistics=statistics, **{**facts, "token_ids": tuple(facts["token_ids"])})  # type: ignore


def show(console: Console, runs: dict[str, list[PromptRun]], ways: dict[str, Drafting]) -> bool:
    """Show the table; return whether all texts are the target's own."""
    rows, equal = [], True
    for name, done in runs.items():
        report = summarize(done, runs[PLAIN], ways.get(name))
        equal &= report.equal_texts == len(done)
        speed, ratio = report.tokens_per_second, report.speed_up
        mbsu = "" if report.mbsu_by_bytes is None else f"{report.mbsu_by_bytes:.2f} / {report.mbsu_by_seconds:.2f}"
        rows.append(
            (
                name,
                f"{speed.value:.1f} [{speed.low:.1f}–{speed.high:.1f}]",
                f"{ratio.value:.3f}× [{ratio.low:.3f}–{ratio.high:.3f}]",
                f"{report.block_efficiency:.3f}",
                f"{report.acceptance_rate:.3f}",
                f"{report.drafter_milliseconds:.1f}",
                f"{report.target_milliseconds:.1f}",
                mbsu,
                f"{report.equal_texts}/{len(done)}",
            )
        )
    header = ("way", "tokens/s", "÷ plain", "τ", "acceptance", "drafter ms", "target ms", "MBSU bytes / time", "equal")
    console.table(header, rows)
    return equal


def measured(
    pair: EaglePair, ways: dict[str, Drafting], prompts: Sequence[list[int]], tokens: int
) -> dict[str, list[PromptRun]]:
    limits = Limits(max_new_tokens=tokens, end_token_ids=pair.end_token_ids)
    _, runs = bench(pair.target_model, ways, prompts, limits, time.perf_counter)
    return runs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--ranked", type=Path, default=cache_folder(None) / "train-eagle")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--drafter", help="an independent drafter")
    parser.add_argument("--humaneval", action="store_true")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console, pair = Console(), opened(options.checkpoint, options.threads)
    console.say(f"kernels: {pair.target_graph.kernels.name}, exact: {pair.target_graph.exactness.exact}")
    ways, prompts = ways_of(pair, options), asked(options, pair)
    runs = measured(pair, ways, prompts, options.tokens)
    if options.json:
        known = json.loads(options.json.read_text()) if options.json.is_file() else {}
        runs = {name: [*map(read_run, known.get(name, [])), *done] for name, done in runs.items()}
        options.json.write_text(json.dumps({name: [*map(plain_run, done)] for name, done in runs.items()}))
    return 0 if show(console, runs, ways) or not pair.target_graph.exactness.exact else 1


if __name__ == "__main__":
    sys.exit(main())
