"""edgedraft calibrate count: the assistant's tokens of the user's own conversations, as counts of text."""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgedraft.commands._options import RAY
from edgedraft.console import Console

if TYPE_CHECKING:
    from edgedraft.calibration.data.reading import Shard
    from edgedraft.calibration.text.count_result import CountResult
    from edgedraft.calibration.text.shards import Mapped

SHARDS = 8
WORTH_SPREADING_BYTES = 64_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of count."""
    from edgedraft.commands._options import TARGET, add_cache_argument, add_engine_arguments, positive

    text = "JSON lines, Parquet, text, - for standard input, or a hub data set"
    parser.add_argument("data", metavar="DATA", help=text)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="where the counts go")
    text = f"the model whose tokenizer and chat template count (default: {TARGET})"
    parser.add_argument("--target", default=TARGET, metavar="MODEL", help=text)
    parser.add_argument("--strict", action="store_true", help="stop at the first entry that cannot be read")
    text = "count the I-th of N parts only, from 1; edgedraft calibrate merge adds them"
    parser.add_argument("--shard", metavar="I/N", help=text)
    add_engine_arguments(parser)
    text = f"on this machine (default: one, and one a core for files above {WORTH_SPREADING_BYTES // 10**6} MB)"
    parser.add_argument("--processes", type=positive, metavar="N", help=text)
    text = f"parts to hand out to several processes or workers (default: {SHARDS})"
    parser.add_argument("--shards", type=positive, default=SHARDS, metavar="N", help=text)
    add_cache_argument(parser)


def run(options: argparse.Namespace, console: Console) -> None:
    """Count, or finish what was stopped; write the counts; say what was left out."""
    from edgedraft.calibration.counts_file import write_counts
    from edgedraft.calibration.data.reading import ReadOptions
    from edgedraft.calibration.text.counting import Counting, CountingJob, count_job
    from edgedraft.calibration.text.shards import count_in_shards
    from edgedraft.commands._options import cache_of
    from edgedraft.exporter.models.tokenization import tokenization
    from edgedraft.runtime.base.files import require_file_name
    from edgedraft.runtime.base.records import require

    require_file_name(options.output)
    processes = _processes(options)
    spread = options.engine == RAY or processes > 1
    rule = "several workers cut the data into shards themselves"
    require(options.shard is None or not spread, rule, got="--shard", remedy="leave one of the two out")
    cache = cache_of(options)
    tokens = tokenization(options.target, cache, console.progress)
    counting = Counting(codec=tokens.codec, end_token_ids=tokens.end_token_ids, vocab_size=tokens.vocab_size)
    reading = ReadOptions(strict=options.strict, shard=_shard(options.shard))
    job = CountingJob(counting=counting, reference=options.data, reading=reading)
    checkpoints = cache / "counts"
    if spread:
        tally = count_in_shards(job, options.shards, _mapped(options, processes), checkpoints, console.progress)
    else:
        tally = count_job(job, checkpoints, progress=console.progress)
    write_counts(options.output, tally.counts)
    _show(console, tally, options.output)


def _processes(options: argparse.Namespace) -> int:
    """How many were asked for; otherwise as many as pay: a process takes a second to start."""
    from edgedraft.devices.machine import usable_cores

    if options.processes is not None:
        return int(options.processes)
    data = Path(options.data)
    large = data.is_file() and data.stat().st_size > WORTH_SPREADING_BYTES
    return usable_cores() if large and options.shard is None and options.engine != RAY else 1


def _mapped(options: argparse.Namespace, processes: int) -> "Mapped":
    """Where shards are counted: on several processes, or by the workers of a cluster."""
    from edgedraft.calibration.process_engine import map_on_processes
    from edgedraft.calibration.ray_engine import RayOptions, map_on_ray

    if options.engine == RAY:
        return partial(map_on_ray, options=RayOptions(address=options.ray_address))
    return partial(map_on_processes, processes=processes)


def _shard(text: str | None) -> "Shard":
    from edgedraft.calibration.data.reading import Shard
    from edgedraft.runtime.base.errors import EdgedraftError

    if text is None:
        return Shard()
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise EdgedraftError("--shard: expected I/N with I in 1..N", got=text, remedy="for example 1/4")
    return Shard(index=int(index) - 1, count=int(count))


def _show(console: Console, tally: "CountResult", output: Path) -> None:
    counts, report, reading = tally.counts, tally.report, tally.reading
    console.say(f"{output}: {counts.tokens:,} tokens of {report.counted:,} samples, {report.turns:,} turns")
    left_out = {
        "entries that cannot be read": reading.broken,
        "samples that cannot be counted": report.broken,
        "samples without an assistant's turn": report.without_assistant,
        "empty turns": report.empty_turns,
        "turns that do not end": report.unended_turns,
        "turns that the template rewrites": report.rewritten_turns,
        **{f"messages of role {role} that the template drops": n for role, n in report.dropped_roles.items()},
    }
    for what, number in left_out.items():
        if number:
            console.say(f"{what}: {number:,}")
    for problem in (*reading.problems, *(f"sample {each.id}: {each.reason}" for each in report.problems)):
        console.note(f"  {problem}")
    facts = {"tokens": counts.tokens, "report": report, "broken_entries": reading.broken, "problems": reading.problems}
    console.result({"output": str(output), **facts})
