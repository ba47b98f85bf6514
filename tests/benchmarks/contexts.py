"""Compare engines on long prompts: time to the first token by prompt length, and tokens/s after a long context.

    python tests/benchmarks/contexts.py BUNDLE [--prompts 128 512 1500] [--context 2000] [--ways a,b,…]

It measures the ways of `peers.py`, interleaved in one run, and installs the other engines the first time.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from peer_workers.host_process import Launch, Worker
from peer_workers.host_runs import Question, Run, measure
from peer_workers.host_ways import Way
from peers import choose_ways, conditions, start_workers

from edgedraft.calibration.prompts import shipped_prompts
from edgedraft.devices.machine import usable_cores
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.tables import markdown_table
from edgedraft.runtime.bundle.reading import read_bundle
from edgedraft.runtime.core.statistics import median_interval
from edgedraft.runtime.text.codec import TextCodec

WAYS = "ours-plain,ours-trimmed,ours-adaptive,genai-plain,genai-our-kernels,llama-plain,openvino-plain"
_FEW = 2
"""New tokens where the first one alone is timed; llama.cpp's clock needs a second one."""


def parse_arguments() -> argparse.Namespace:
    """Parse the command line; options that only `peers.py` has keep their defaults."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path, help="a folder written by edgedraft export")
    parser.add_argument("--prompts", type=int, nargs="+", default=[128, 512, 1500], metavar="N", help="tokens of each")
    parser.add_argument("--context", type=int, default=2000, metavar="N", help="tokens before the timed answer")
    parser.add_argument("--max-new-tokens", type=int, default=64, metavar="N", help="behind the context (default: 64)")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="texts of each length (default: 5)")
    parser.add_argument("--ways", default=WAYS, metavar="A,B,…", help=f"as peers.py (default: {WAYS})")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="default: peers in edgedraft's cache folder")
    parser.set_defaults(full_bundle=None, genai_model=None, llama_draft_max="3", dtype="bfloat16")
    parser.set_defaults(ngram_size=3, ngram_drafts=4)
    return parser.parse_args()


def questions(bundle: Path, tokens: int, count: int) -> list[Question]:
    """Return ``count`` texts of the given number of tokens, each beginning with another shipped prompt."""
    codec, prompts = TextCodec(bundle), shipped_prompts()
    texts = []
    for number in range(count):
        turned = [*prompts[number:], *prompts[:number]]
        ids = codec.encode("\n\n".join(prompt.messages[-1]["content"] for prompt in turned))
        while len(ids) < tokens:
            ids = [*ids, *ids]
        kept = tuple(ids[:tokens])
        texts.append(Question(id=f"{tokens}-{number}", prompt_ids=kept, prompt_text=codec.decode(kept)))
    return texts


def table(ways: Sequence[Way], by_length: dict[int, dict[str, list[Run]]], behind: dict[str, list[Run]]) -> list[str]:
    """Return one row per way: milliseconds to the first token by length, tokens/s after the context."""
    header = ("way of decoding", *(f"first token of {size}, ms" for size in by_length), "tokens/s behind the context")
    rows = []
    for way in ways:
        first = (median_interval([1e3 * run.prompt_seconds for run in runs[way.key]]) for runs in by_length.values())
        speed = median_interval([run.tokens_per_second for run in behind[way.key]])
        shown = [f"{each.value:,.0f} [{each.low:,.0f}–{each.high:,.0f}]" for each in first]
        counted = "" if way.counted else " (shown, not counted)"
        name = f"{way.engine}: {way.title}{counted}"
        rows.append((name, *shown, speed.text(1)))
    return markdown_table(header, rows)


def main() -> None:
    """Set up, measure, report."""
    options = parse_arguments()
    workers: dict[Launch, Worker] = {}
    try:
        ends = read_bundle(options.bundle, verify_hashes=False).manifest.end_token_ids
        long = questions(options.bundle, options.context, options.repeats)
        sized = {size: questions(options.bundle, size, options.repeats) for size in options.prompts}
        ways = choose_ways(options, [*long, *(each for group in sized.values() for each in group)])
        load = os.getloadavg()[0]
        ways = start_workers(ways, (options.work or cache_folder() / "peers") / "logs", usable_cores(), workers)
        by_length = {size: measure(ways, workers, group, _FEW, ends) for size, group in sized.items()}
        behind = measure(ways, workers, long, options.max_new_tokens, ends)
        facts = conditions(options, workers, load)
    except EdgedraftError as error:
        raise SystemExit(f"contexts: {error}") from error
    finally:
        for worker in workers.values():
            worker.close()
    print(f"{facts['machine']}; {facts['threads']} threads everywhere; {facts['date']}; load {load:.2f} before")
    print("; ".join(f"{name} {version}" for name, version in facts["versions"].items()))
    print(f"{options.repeats} texts of each length, interleaved; medians [quartiles]")
    print(f"tokens/s behind {options.context:,} tokens, {options.max_new_tokens} new ones\n")
    print("\n".join(table(ways, by_length, behind)))


if __name__ == "__main__":
    main()
