"""Counts of a data set for method balanced: its first samples, so many tokens of each, formatted already or not."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce
from itertools import islice
from operator import add
from pathlib import Path

from edgedraft.calibration.data.reading import ReadOptions, ReadReport, Shard, place_of, samples
from edgedraft.calibration.data.samples import Sample
from edgedraft.calibration.process_engine import map_on_processes
from edgedraft.calibration.text.count_result import CountResult
from edgedraft.calibration.text.counting import Counting, SampleCounter
from edgedraft.calibration.text.spans import SpanFinder, Spans, Turn
from edgedraft.calibration.text.token_counter import starts_specially
from edgedraft.exporter.vocab.tokens import Tokenization
from edgedraft.runtime.base.cores import usable_cores
from edgedraft.runtime.base.errors import EdgedraftError
from edgedraft.runtime.base.progress import Progress, silent
from edgedraft.runtime.base.records import require, to_plain
from edgedraft.runtime.text.codec import TextCodec

_SENTINEL = "Sentinel9edgedraft9Text"
_TEMPLATES_OWN_BYTES = 4096
_SAMPLES_BETWEEN_REPORTS = 1000
_SHARDS = 16
WORTH_SPREADING_BYTES = 64_000_000
"""A process takes a second to start: smaller files are counted before several would be at work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CountingLimits:
    """``sample_size`` first samples (None: all), ``max_length`` first tokens of each.

    With ``is_preformatted`` a sample is a text in which the chat template's markers stand already.
    """

    sample_size: int | None = None
    max_length: int = 131072
    is_preformatted: bool = False

    def __post_init__(self) -> None:
        enough = self.sample_size is None or self.sample_size >= 1
        require(enough, "sample-size: expected 1 or more", got=self.sample_size)
        require(self.max_length >= 1, "max-length: expected 1 or more", got=self.max_length)


def count_dataset(
    reference: str | Path,
    tokens: Tokenization,
    limits: CountingLimits,
    progress: Progress = silent,
    *,
    processes: int = 1,
) -> CountResult:
    """Count the assistant's tokens of a data set, every turn and every end of turn.

    Up to ``processes`` count a large file, one a usable core; the counts are the same. The first samples of a data set
    are counted by one, which knows how many it could read. Raises `EdgedraftError` where nothing can be counted.
    """
    counting = _counting(tokens.codec, tokens.end_token_ids, tokens.vocab_size, limits)
    path, workers = Path(reference), min(processes, usable_cores())
    large = path.is_file() and path.stat().st_size > WORTH_SPREADING_BYTES
    if workers > 1 and large and limits.sample_size is None:
        tally = _spread(path, counting, limits, workers, progress)
    else:
        tally = _count(reference, counting, limits, ReadOptions(), progress)
    tally.reading.require_samples(place_of(reference))
    problems = tally.report.problems
    rule = f"{place_of(reference)}: expected an assistant's token to count"
    require(tally.counts.tokens > 0, rule, got=problems[0].reason if problems else "none")
    return tally


def _counting(codec: TextCodec, end_token_ids: tuple[int, ...], vocab_size: int, limits: CountingLimits) -> Counting:
    return Counting(codec=codec, end_token_ids=end_token_ids, vocab_size=vocab_size, options=to_plain(limits))


def _count(
    reference: str | Path, counting: Counting, limits: CountingLimits, reading: ReadOptions, progress: Progress
) -> CountResult:
    counted, report = _LimitedCounted(counting, limits), ReadReport()
    numbered = islice(samples(reference, report, reading), limits.sample_size)
    for done, (number, sample) in enumerate(numbered, start=1):
        counted.add(number, sample)
        if done % _SAMPLES_BETWEEN_REPORTS == 0:
            progress("samples counted", done, limits.sample_size or 0)
    return counted.result(report)


def _spread(path: Path, counting: Counting, limits: CountingLimits, workers: int, progress: Progress) -> CountResult:
    """Count shards of a file in several processes, and add them in their order."""
    work = partial(_count_shards, str(path), counting.codec.folder, counting.codec.fingerprint)
    work = partial(work, counting.end_token_ids, counting.vocab_size, limits)
    batches = [[Shard(index=index, count=_SHARDS)] for index in range(_SHARDS)]
    parts: dict[int, CountResult] = {}
    for place, part in map_on_processes(work, batches, workers):
        parts[place] = part
        progress("shards counted", len(parts), len(batches))
    return reduce(add, (parts[place] for place in sorted(parts)))


def _count_shards(
    reference: str,
    folder: Path,
    fingerprint: str,
    end_token_ids: tuple[int, ...],
    vocab_size: int,
    limits: CountingLimits,
    shards: Sequence[Shard],
) -> CountResult:
    """Count some shards in whichever process; what it needs is small enough to be sent there."""
    counting = _counting(TextCodec(folder, fingerprint), end_token_ids, vocab_size, limits)
    return reduce(add, (_count(reference, counting, limits, ReadOptions(shard=each), silent) for each in shards))


class _LimitedCounted(SampleCounter):
    """Counts what is left of a sample's turns within the limits."""

    def __init__(self, counting: Counting, limits: CountingLimits) -> None:
        super().__init__(counting)
        self._codec, self._limits = counting.codec, limits
        self._joint = starts_specially(counting.codec)
        self._placed = SpanFinder(counting.codec, with_prompts=True)
        tokenizer = counting.codec.tokenizer
        self._ends = [end for token_id in counting.end_token_ids if (end := tokenizer.id_to_token(token_id))]
        self._opening = opening_of(counting.codec) if limits.is_preformatted else ""

    def _spans(self, sample: Sample) -> Spans:
        if self._limits.is_preformatted:
            rule = "expected a text that is formatted already, got a conversation"
            require(sample.text is not None, rule, remedy="leave is-preformatted out")
            turns = written_turns(sample.text or "", self._opening, self._ends)
            return self._within(Spans(turns=turns)) if turns else Spans()
        rule = "expected a conversation, got a text"
        require(sample.text is None, rule, remedy="is-preformatted finds the turns in texts")
        return self._within(self._placed.find(sample)) if self._may_be_long(sample) else super()._spans(sample)

    def _may_be_long(self, sample: Sample) -> bool:
        """Tell whether a sample may have more tokens than the limit."""
        # A token is a byte at least. Templates write words of their own too, and may show what they get twice.
        said = json.dumps([sample.messages, sample.tools], ensure_ascii=False, default=dict)
        return 2 * len(said.encode(errors="surrogatepass")) + _TEMPLATES_OWN_BYTES > self._limits.max_length

    def _within(self, spans: Spans) -> Spans:
        """Cut the turns, all with what stands before them, where a sample's tokens run out."""
        cut = [cut_turn(self._codec, turn, self._limits.max_length) for turn in spans.turns]
        kept = (turn if self._joint else Turn(turn.text, None) for turn in cut if turn.text)
        return Spans(
            turns=tuple(kept),
            empty=spans.empty,
            rewritten=spans.rewritten,
            fallback=spans.fallback,
            dropped=spans.dropped,
        )


def cut_turn(codec: TextCodec, turn: Turn, max_length: int) -> Turn:
    """Keep of a turn what lies within the first ``max_length`` tokens of it and all before it."""
    before = turn.before or ""
    # A token is a byte at least: fewer bytes than tokens allowed need no counting.
    if len((before + turn.text).encode(errors="surrogatepass")) < max_length:
        return turn
    ((ids, bounds),) = codec.encode_with_bounds([before + turn.text])
    if len(ids) <= max_length:
        return turn
    return Turn(turn.text[: max(bounds[max_length - 1][1] - len(before), 0)], before)


def opening_of(codec: TextCodec) -> str:
    """Return what the template writes before every answer, without what it adds for the one to be generated.

    Raises `EdgedraftError` where it writes nothing.
    """
    asked = [{"role": "user", "content": "ask"}]
    answered = [*asked, {"role": "assistant", "content": _SENTINEL}]
    bare, prompt = codec.render_chat(asked, answer=False), codec.render_chat(asked)
    shown = codec.render_chat(answered, answer=False).partition(_SENTINEL)[0]
    opening = _common_start(prompt, shown)[len(bare) :]
    rule = f"{codec.folder}: the chat template writes nothing before answers by which they could be found"
    require(bool(opening.strip()), rule, remedy="give conversations instead of formatted texts")
    return opening


def _common_start(one: str, other: str) -> str:
    same = (place for place, (mine, its) in enumerate(zip(one, other, strict=False)) if mine != its)
    return one[: next(same, min(len(one), len(other)))]


def written_turns(text: str, opening: str, ends: list[str]) -> tuple[Turn, ...]:
    """Cut the answers out of a formatted text: from behind each ``opening`` up to its first end, which belongs to it.

    The last one may be cut off; raises `EdgedraftError` where another one does not end.
    """
    starts, place = [], text.find(opening)
    while place >= 0:
        starts.append(place + len(opening))
        place = text.find(opening, starts[-1])
    turns = []
    for start, following in zip(starts, [*starts[1:], None], strict=True):
        stops = [(at, end) for end in ends if (at := text.find(end, start, following)) >= 0]
        if not stops and following is not None:
            raise EdgedraftError("an answer in the text does not end", got=repr(text[start:following][:40]))
        behind = min(stops)[0] + len(min(stops)[1]) if stops else len(text)
        turns.append(Turn(text[start:behind], text[:start]))
    return tuple(turn for turn in turns if turn.text)
