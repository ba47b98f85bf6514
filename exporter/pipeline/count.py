"""Counting the assistant's tokens in the user's own conversations, on one process, several, or a cluster."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgedraft.calibration.counts import TokenCounts
from edgedraft.calibration.counts_file import read_counts, require_counts_file, write_counts
from edgedraft.calibration.data.reading import ReadOptions, Shard
from edgedraft.calibration.process_engine import map_on_processes
from edgedraft.calibration.ray_engine import RayOptions, map_on_ray
from edgedraft.calibration.text.count_result import CountResult
from edgedraft.calibration.text.counting import Counting, CountingJob, count_job
from edgedraft.calibration.text.shards import count_in_shards
from edgedraft.devices.machine import usable_cores
from edgedraft.exporter.models.cache import cache_folder
from edgedraft.exporter.models.tokenization import tokenization
from edgedraft.exporter.pipeline.requests import LOCAL, RAY, TARGET
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require

SHARDS = 8
WORTH_SPREADING_BYTES = 64_000_000
"""A process takes a second to start: smaller files are counted before several would be at work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CountRequest:
    """Count ``data`` with the tokenizer and template of ``target``, and write the counts to ``output``.

    ``shard`` "I/N" counts the I-th of N parts alone, from 1. ``processes`` None takes one a core for large files.
    ``shards`` are the parts handed out to several workers.
    """

    data: str
    output: Path
    target: str = TARGET
    strict: bool = False
    shard: str | None = None
    engine: str = LOCAL
    ray_address: str | None = None
    processes: int | None = None
    shards: int = SHARDS
    cache: Path | None = None

    @property
    def workers(self) -> int:
        """Return how many processes count on this machine."""
        if self.processes is not None:
            return self.processes
        data = Path(self.data)
        large = data.is_file() and data.stat().st_size > WORTH_SPREADING_BYTES
        return usable_cores() if large and self.shard is None and self.engine != RAY else 1


def count(request: CountRequest, progress: Progress = silent) -> CountResult:
    """Count, or finish what was stopped; write the counts, and return them with what was left out."""
    spread = request.engine == RAY or request.workers > 1
    require_counts_file(request.output)
    rule = "several workers cut the data into shards themselves"
    require(request.shard is None or not spread, rule, got="--shard", remedy="leave one of the two out")
    cache = cache_folder(request.cache)
    tokens = tokenization(request.target, cache, progress)
    counting = Counting(codec=tokens.codec, end_token_ids=tokens.end_token_ids, vocab_size=tokens.vocab_size)
    reading = ReadOptions(strict=request.strict, shard=_shard(request.shard))
    job = CountingJob(counting=counting, reference=request.data, reading=reading)
    if spread:
        mapped = (
            partial(map_on_ray, options=RayOptions(address=request.ray_address))
            if request.engine == RAY
            else partial(map_on_processes, processes=request.workers)
        )
        tally = count_in_shards(job, request.shards, mapped, cache / "counts", progress)
    else:
        tally = count_job(job, cache / "counts", progress=progress)
    write_counts(request.output, tally.counts)
    return tally


def merge_counts(files: tuple[Path, ...], output: Path) -> TokenCounts:
    """Write the sum of the counts in ``files``, of one source and one tokenizer, to ``output``; return it."""
    require_counts_file(output)
    first, *others = (read_counts(path) for path in files)
    total = sum(others, start=first)
    write_counts(output, total)
    return total


def _shard(text: str | None) -> Shard:
    if text is None:
        return Shard()
    index, _, number = text.partition("/")
    if not (index.isdecimal() and number.isdecimal() and 1 <= int(index) <= int(number)):
        raise EdgedraftError("--shard: expected I/N with I in 1..N", got=text, remedy="for example 1/4")
    return Shard(index=int(index) - 1, count=int(number))
