"""plan --method balanced: coverage against draft latency, under the reference tool's own options and outputs."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.console import Console

if TYPE_CHECKING:
    from edgedraft.exporter.methods.balanced import BalancedResult, BalancedSettings

OUTPUT = Path("cache/vocab_optimization")
OPTIONS = (
    *("dataset_path", "is_preformatted", "tokenizer_path", "chat_template", "coverage_weight", "min_vocab_size"),
    *("max_vocab_size", "target_vocab_size", "n_calls", "sample_size", "max_length", "config_path", "output_dir"),
    "random_state",
)
"""The method's own options, by the names of their values."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The reference tool's options under their own names, with its defaults; --min-coverage is the planner's too."""
    from edgedraft.commands._options import positive

    group = parser.add_argument_group("method balanced (arXiv 2603.05210)")
    text = "conversations (JSON lines) to count instead of the pair's answers; needs --tokenizer-path"
    group.add_argument("--dataset-path", metavar="DATA", help=text)
    group.add_argument("--is-preformatted", action="store_true", help="the data holds texts with the template applied")
    group.add_argument("--tokenizer-path", metavar="MODEL", help="a folder, packaged name or hub id")
    text = (
        "the family that the tokenizer's own template must be of: llama3, llama4, qwen, deepseek, phi3, phi4 or gemma"
    )
    group.add_argument("--chat-template", metavar="NAME", help=text)
    text = "weight of coverage, 0..1 (default: 0.5)"
    group.add_argument("--coverage-weight", type=float, default=0.5, metavar="A", help=text)
    group.add_argument("--min-vocab-size", type=positive, default=50, metavar="K", help="default: 50")
    group.add_argument("--max-vocab-size", type=positive, default=50000, metavar="K", help="default: 50000")
    text = "default: the configuration's, else the tokenizer's"
    group.add_argument("--target-vocab-size", type=positive, metavar="V", help=text)
    group.add_argument("--n-calls", type=positive, default=30, metavar="N", help="trials of TPE (default: 30)")
    group.add_argument("--sample-size", type=positive, metavar="N", help="use the first N samples (default: all)")
    group.add_argument("--max-length", type=positive, default=131072, metavar="N", help="tokens of a sample")
    text = "an EAGLE-3 config.json: gives the drafter's shape, and gets the chosen draft_vocab_size"
    group.add_argument("--config-path", type=Path, metavar="FILE", help=text)
    group.add_argument("--output-dir", type=Path, default=OUTPUT, metavar="FOLDER", help=f"default: {OUTPUT}")
    group.add_argument("--random-state", type=int, default=42, metavar="N", help="default: 42")


def run(options: argparse.Namespace, console: Console) -> None:
    """Balance the counts of a data set for an EAGLE-3 drafter, or of the pair's answers for its own drafter."""
    from edgedraft.exporter.methods.balanced_report import require_reports_folder
    from edgedraft.runtime.base.records import require

    require_reports_folder(options.output_dir)
    both = (options.dataset_path is None) == (options.tokenizer_path is None)
    require(both, "--method balanced: expected --dataset-path and --tokenizer-path together", got="one of them")
    if options.dataset_path is None:
        _of_the_pair(options, console)
    else:
        _of_a_dataset(options, console)


def _of_a_dataset(options: argparse.Namespace, console: Console) -> None:
    from edgedraft.commands._options import cache_of
    from edgedraft.exporter.methods.balanced_run import BalancedOptions, run_balanced

    names = BalancedOptions.__dataclass_fields__
    asked = BalancedOptions(**{name: getattr(options, name) for name in names})
    done = run_balanced(asked, cache_of(options), console.progress)
    if done.shape_assumed:
        console.note(f"No --config-path: FLOPs are those of the paper's drafter, {done.shape}.")
    _show(console, done.result)
    for file in done.files:
        console.say(f"Wrote {file}.")
    if options.config_path is not None:
        console.say(f"{options.config_path}: draft_vocab_size {done.previous_size} -> {done.result.chosen.size}.")
    console.result(done.result)


def _of_the_pair(options: argparse.Namespace, console: Console) -> None:
    from edgedraft.commands._options import answer_settings, cache_of, open_pair, prompt_set
    from edgedraft.exporter.methods.balanced import balance
    from edgedraft.exporter.methods.balanced_report import write_reports
    from edgedraft.exporter.methods.flops import drafter_cost
    from edgedraft.exporter.pipeline.calibrating import calibrate_pair

    cache = cache_of(options)
    pair = open_pair(options, cache, console.progress)
    calibration = calibrate_pair(pair, prompt_set(options), cache, console.progress, answer_settings(options))
    cost = drafter_cost(pair.trimmed_size(0).parameters, pair.head_row.parameters)
    counts = next(iter(calibration.ranking.values()))
    result = balance(counts, cost, _settings(options), console.progress)
    _show(console, result)
    for file in write_reports(result, options.output_dir):
        console.say(f"Wrote {file}.")
    console.say(f"To export it: edgedraft export FOLDER --vocab-size {result.chosen.size}")
    console.result(result)


def _settings(options: argparse.Namespace) -> "BalancedSettings":
    from edgedraft.exporter.methods.balanced import BalancedSettings
    from edgedraft.exporter.methods.utility import UtilitySettings
    from edgedraft.exporter.planning.search import SearchSettings

    return BalancedSettings(
        utility=UtilitySettings(
            coverage_weight=options.coverage_weight,
            min_coverage=options.min_coverage,
            min_size=options.min_vocab_size,
            max_size=options.max_vocab_size,
        ),
        search=SearchSettings(trials=options.n_calls, seed=options.random_state),
    )


def _show(console: Console, result: "BalancedResult") -> None:
    """The scan's size, what it covers and saves, and how near TPE came."""
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
