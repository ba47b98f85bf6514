"""plan --method balanced: coverage against draft latency, under the reference tool's own options and outputs."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.console import Console

if TYPE_CHECKING:
    from edgedraft.exporter.methods.balanced import BalancedResult

OUTPUT = Path("cache/vocab_optimization")
OPTIONS = (
    *("dataset_path", "is_preformatted", "tokenizer_path", "chat_template", "coverage_weight", "min_vocab_size"),
    *("max_vocab_size", "target_vocab_size", "n_calls", "sample_size", "max_length", "config_path", "output_dir"),
    *("random_state", "num_proc"),
)
"""The method's own options, by the names of their values."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the reference tool's options under their own names; --min-coverage is the planner's too."""
    from edgedraft.commands._options import positive

    group = parser.add_argument_group("method balanced (arXiv 2603.05210)")
    text = "conversations (JSON lines) to count instead of the pair's answers; needs --tokenizer-path"
    group.add_argument("--dataset-path", metavar="DATA", help=text)
    group.add_argument("--is-preformatted", action="store_true", help="the data holds texts with the template applied")
    group.add_argument("--tokenizer-path", metavar="MODEL", help="a folder, packaged name or hub id")
    families = "llama3, llama4, qwen, deepseek, phi3, phi4 or gemma"
    text = f"the family that the tokenizer's own template must be of: {families}"
    group.add_argument("--chat-template", metavar="NAME", help=text)
    text, standard = "weight of coverage, 0..1 (default: %(default)s)", "default: %(default)s"
    group.add_argument("--coverage-weight", type=float, default=0.5, metavar="A", help=text)
    group.add_argument("--min-vocab-size", type=positive, default=50, metavar="K", help=standard)
    group.add_argument("--max-vocab-size", type=positive, default=50000, metavar="K", help=standard)
    text = "default: the configuration's, else the tokenizer's"
    group.add_argument("--target-vocab-size", type=positive, metavar="V", help=text)
    group.add_argument("--n-calls", type=positive, default=30, metavar="N", help="trials of TPE (default: %(default)s)")
    group.add_argument("--sample-size", type=positive, metavar="N", help="use the first N samples (default: all)")
    group.add_argument("--max-length", type=positive, default=131072, metavar="N", help="tokens of a sample")
    text = "an EAGLE-3 config.json: gives the drafter's shape, and gets the chosen draft_vocab_size"
    group.add_argument("--config-path", type=Path, metavar="FILE", help=text)
    group.add_argument("--output-dir", type=Path, default=OUTPUT, metavar="FOLDER", help=standard)
    group.add_argument("--random-state", type=int, default=42, metavar="N", help=standard)
    text = "processes that count a large file (default: %(default)s, at most one a core)"
    group.add_argument("--num-proc", type=positive, default=8, metavar="N", help=text)


def run(options: argparse.Namespace, console: Console) -> None:
    """Balance the counts of a data set for an EAGLE-3 drafter, or of the pair's answers for its own drafter."""
    from edgedraft.commands._options import request_of
    from edgedraft.commands._show import show_tally
    from edgedraft.exporter.methods.balanced_run import BalancedOptions, run_balanced
    from edgedraft.exporter.methods.eagle_config import PAPERS_SIZES
    from edgedraft.exporter.models.cache import cache_folder
    from edgedraft.exporter.pipeline.plan import plan_by_balance
    from edgedraft.exporter.pipeline.requests import PairInputs
    from edgedraft.runtime.base.records import to_plain

    balanced, counted = request_of(BalancedOptions, options), {}
    if balanced.dataset_path is None:
        result, files = plan_by_balance(request_of(PairInputs, options), balanced, console.progress, console.note)
        last = f"To export it: edgedraft export FOLDER --vocab-size {result.chosen.size}"
    else:
        done = run_balanced(balanced, cache_folder(options.cache), console.progress)
        result, files, counted = done.result, done.files, show_tally(console, done.tally, balanced.dataset_path)
        if done.shape_assumed:
            console.note(f"No --config-path: FLOPs are those of the paper's drafter, {done.shape}.")
        if done.missing:
            filled = ", ".join(f"{name} {PAPERS_SIZES[name]:,}" for name in done.missing)
            console.note(f"{balanced.config_path} lacks sizes; the paper's are taken: {filled}.")
        last = f"{balanced.config_path}: draft_vocab_size {done.previous_size} -> {result.chosen.size}."
    _show(console, result)
    for file in files:
        console.say(f"Wrote {file}.")
    if balanced.dataset_path is None or balanced.config_path is not None:
        console.say(last)
    console.result({**to_plain(result), **counted})


def _show(console: Console, result: "BalancedResult") -> None:
    """Show the scan's size, what it covers and saves, and how near TPE came."""
    best, missed = result.chosen, result.missed_by_tpe
    console.say(
        f"Balanced: {best.size:,} of {result.target_vocab_size:,} tokens cover {best.coverage:.2%} and save "
        f"{best.latency_reduction:.2%} of the drafter's FLOPs: utility {best.utility:.5f}."
    )
    if result.by_tpe is None or missed is None:
        console.say(f"TPE found no size that covers enough in {len(result.trials)} trials; the scan is exact.")
    else:
        share = missed / best.utility if best.utility else 0.0
        console.say(f"TPE's best of {len(result.trials)} trials: {result.by_tpe.size:,}, {share:.4%} less utility.")
