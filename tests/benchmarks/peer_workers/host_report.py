"""What the runs say: ratios prompt by prompt, the table, and the same as plain JSON data."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from peer_workers.host_runs import Run
from peer_workers.host_ways import BASELINE, OURS, Way

from edgedraft.runtime.base.intervals import Interval
from edgedraft.runtime.core.statistics import median_interval

Runs = Mapping[str, Sequence[Run]]

HEADER = (
    *("way of decoding", "weights", "tokens/s", "÷ genai plain", "÷ fastest peer", "÷ own plain"),
    *("tokens/s with prompt", "accepted", "equal text"),
)
_TEXT_COLUMNS = 2


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way over all prompts; ratios are of decoding speeds, prompt by prompt, None where a way did not run."""

    key: str
    title: str
    engine: str
    weights: str
    counted: bool
    tokens_per_second: Interval | None
    whole_tokens_per_second: Interval | None
    to_genai_plain: Interval | None
    to_fastest_peer: Interval | None
    to_own_plain: Interval | None
    acceptance: float | None
    equal_texts: int | None
    prompts: int
    tokens: int
    idle_share: float


def fastest_peer(ways: Sequence[Way], runs: Runs) -> str | None:
    """The way of another engine with the highest median speed."""
    peers = [way.key for way in ways if way.engine != OURS and way.counted]
    return max(peers, key=lambda key: median(run.tokens_per_second for run in runs[key]), default=None)


def rows(ways: Sequence[Way], runs: Runs) -> list[Row]:
    """One row a way, in the order of ``ways``."""
    fastest = fastest_peer(ways, runs)
    return [_row(way, runs, fastest) for way in ways]


def _row(way: Way, runs: Runs, fastest: str | None) -> Row:
    own = runs[way.key]
    timed = [run for run in own if run.timed_tokens > 0]
    proposed = sum(run.proposed or 0 for run in own)
    return Row(
        key=way.key,
        title=way.title,
        engine=way.engine,
        weights=way.weights,
        counted=way.counted,
        tokens_per_second=median_interval([run.tokens_per_second for run in timed]) if timed else None,
        whole_tokens_per_second=median_interval([run.whole_tokens_per_second for run in timed]) if timed else None,
        to_genai_plain=_ratio(own, runs.get(BASELINE)),
        to_fastest_peer=_ratio(own, runs.get(fastest or "")),
        to_own_plain=_ratio(own, runs.get(way.plain)),
        acceptance=sum(run.accepted or 0 for run in own) / proposed if proposed else None,
        equal_texts=_equal(own, runs.get(way.plain)),
        prompts=len(own),
        tokens=sum(run.tokens for run in own),
        idle_share=max((run.idle_share for run in own), default=0.0),
    )


def _ratio(own: Sequence[Run], others: Sequence[Run] | None) -> Interval | None:
    """Speed over another way's, prompt by prompt; prompts answered by one token have no decoding to compare."""
    pairs = [pair for pair in zip(own, others or (), strict=False) if all(run.timed_tokens > 0 for run in pair)]
    return median_interval([run.tokens_per_second / other.tokens_per_second for run, other in pairs]) if pairs else None


def _equal(own: Sequence[Run], plain: Sequence[Run] | None) -> int | None:
    if plain is None:
        return None
    return sum(run.same_text(other) for run, other in zip(own, plain, strict=True))


def markdown(table: Sequence[Row]) -> str:
    """The table, GitHub-flavoured; numbers to the right."""
    cells = [
        (
            f"{row.engine}: {row.title}{'' if row.counted else ' (shown, not counted)'}",
            row.weights,
            _told(row.tokens_per_second, ".1f"),
            _told(row.to_genai_plain, ".2f", "×"),
            _told(row.to_fastest_peer, ".2f", "×"),
            _told(row.to_own_plain, ".2f", "×"),
            "–" if row.whole_tokens_per_second is None else f"{row.whole_tokens_per_second.value:.1f}",
            "–" if row.acceptance is None else f"{row.acceptance:.0%}",
            "–" if row.equal_texts is None else f"{row.equal_texts}/{row.prompts}",
        )
        for row in table
    ]
    widths = [max(len(line[column]) for line in (HEADER, *cells)) for column in range(len(HEADER))]
    rule = ["-" * width if column < _TEXT_COLUMNS else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join(_line(line, widths) for line in (HEADER, rule, *cells))


def terms(ways: Sequence[Way], runs: Runs) -> str:
    """The mean terms of a round in milliseconds, of the ways whose engine tells them: GitHub-flavoured."""
    header = ("terms of a round", "drafter, ms", "target, ms", "rest, ms", "tokens a round", "ms a token")
    table = [(way.title, *_terms(runs[way.key])) for way in ways if any(run.rounds for run in runs[way.key])]
    rule = ("---", *["---:"] * (len(header) - 1))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *table))


def _terms(runs: Sequence[Run]) -> tuple[str, ...]:
    rounds, tokens = sum(run.rounds or 0 for run in runs), sum(run.timed_tokens for run in runs)
    drafter, target = (
        1e3 * sum(getattr(run, name) or 0.0 for run in runs) for name in ("drafter_seconds", "target_seconds")
    )
    whole = 1e3 * sum(run.decode_seconds for run in runs)
    each = [f"{total / rounds:.2f}" for total in (drafter, target, whole - drafter - target)]
    return (*each, f"{tokens / rounds:.2f}", f"{whole / tokens:.2f}")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    sides = ["<" if column < _TEXT_COLUMNS else ">" for column in range(len(cells))]
    padded = [f"{cell:{side}{width}}" for cell, side, width in zip(cells, sides, widths, strict=True)]
    return f"| {' | '.join(padded)} |"


def _told(value: Interval | None, form: str, unit: str = "") -> str:
    if value is None:
        return "–"
    return f"{value.value:{form}}{unit} [{value.low:{form}}–{value.high:{form}}]"


def as_data(conditions: Mapping[str, Any], table: Sequence[Row], runs: Runs) -> dict[str, Any]:
    """Everything for a JSON file: conditions, rows, and every single run."""
    return {
        "conditions": dict(conditions),
        "ways": [asdict(row) for row in table],
        "runs": {key: [asdict(run) for run in own] for key, own in runs.items()},
    }
