"""Records as commands show them: bench tables, coverage, what was pushed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgedraft.console import Console

if TYPE_CHECKING:
    from edgedraft.calibration.sample_size.learning_curve import CurvePoint
    from edgedraft.calibration.text.count_result import CountResult
    from edgedraft.exporter.bundle.push import PushedBundle
    from edgedraft.exporter.pipeline.bench import Measurement
    from edgedraft.exporter.planning.views import Curves
    from edgedraft.runtime.bench import Divergence, WayReport
    from edgedraft.runtime.bundle.manifest import CalibrationEntry

BENCH_HEADER = (
    "way of decoding",
    "tokens/s",
    "speed-up",
    "τ",
    "acceptance",
    "drafter ms",
    "target ms",
    "overhead ms",
    "MBSU params",
    "bytes",
    "seconds",
    "equal text",
)


CATEGORY_HEADER = ("category", "prompts", *BENCH_HEADER[:5])


def show_measurement(console: Console, measurement: "Measurement") -> None:
    """Show the machine, the bench table, and the texts that differ; milliseconds are per round."""
    report = measurement.report
    for remark in measurement.remarks:
        console.note(remark)
    console.say(
        f"{measurement.machine.name}; {measurement.threads} threads, onnxruntime {measurement.onnxruntime}, "
        f"{measurement.kernels}; "
        f"{measurement.drafter_kind} drafter, draft vocabulary {measurement.draft_vocab_size:,}, "
        f"draft length {measurement.draft_length}; "
        f"{measurement.exactness}"
    )
    console.table(BENCH_HEADER, [_bench_row(name, way, report.prompts) for name, way in report.ways.items()])
    console.say(
        f"{report.prompts} prompts, up to {report.max_new_tokens} new tokens each, interleaved prompt by prompt; "
        f"medians [quartiles]; ms per round; speed-up against the {report.speed_base} on the same prompt."
    )
    rows = [
        (category, str(part.prompts), name, way.tokens_per_second.text(1), way.speed_up.text(2, "×"), *_drafts(way))
        for category, part in measurement.categories.items()
        for name, way in part.ways.items()
    ]
    if rows:
        console.table(CATEGORY_HEADER, rows)
    for way, differing in measurement.divergences.items():
        show_divergences(console, way, differing, report.prompts)


def show_divergences(console: Console, way: str, divergences: "Sequence[Divergence]", prompts: int) -> None:
    """Show where texts differ from the target alone, and how near the tie was."""
    if not divergences:
        console.say(f"{way}: all {prompts} texts equal the target's own.")
        return
    console.say(
        f"{way}: {prompts - len(divergences)} of {prompts} texts equal the target's own; the others first differ at"
    )
    for each in divergences:
        place = f"  prompt {each.prompt}: token {each.position}"
        console.say(f"{place}, where the target's logit margin is {each.margin:.3f}")


def _bench_row(name: str, way: "WayReport", prompts: int) -> tuple[str, ...]:
    speed, gain = way.tokens_per_second, way.speed_up
    return (
        name,
        speed.text(1),
        gain.text(2, "×"),
        *_drafts(way),
        f"{way.drafter_milliseconds:.1f}",
        f"{way.target_milliseconds:.1f}",
        f"{way.overhead_milliseconds:.2f}",
        _ratio(way.mbsu_by_parameters),
        _ratio(way.mbsu_by_bytes),
        _ratio(way.mbsu_by_seconds),
        f"{way.equal_texts}/{prompts}",
    )


def _drafts(way: "WayReport") -> tuple[str, str]:
    return f"{way.block_efficiency:.2f}", f"{way.acceptance_rate:.1%}" if way.draft_tokens_proposed else "–"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def show_pushed(console: Console, pushed: "PushedBundle") -> None:
    """Show where the pushed bundle is on the hub."""
    console.say(f"Pushed {pushed.files} files, {pushed.bytes / 1e6:,.0f} MB: {pushed.url}")


def show_coverage(console: Console, calibration: "CalibrationEntry") -> None:
    """Say what the chosen tokens cover on held-out prompts."""
    console.say(
        f"The draft vocabulary, ranked on {calibration.ranking_tokens:,} tokens, covers "
        f"{calibration.coverage:.1%} [{calibration.coverage_low:.1%}–{calibration.coverage_high:.1%}] of the target's "
        f"tokens on {calibration.scoring_prompts} held-out prompts."
    )


def show_curves(console: Console, drawn: "Curves", draft_length: int) -> None:
    """Show coverage and τ by size, with their 95 % intervals."""
    covered = zip(drawn.coverage, drawn.coverage_low, drawn.coverage_high, strict=True)
    taken = zip(drawn.block_efficiency, drawn.block_efficiency_low, drawn.block_efficiency_high, strict=True)
    rows = [
        (f"{size:,}", f"{share:.2%} [{least:.2%}–{most:.2%}]", f"{tau:.2f} [{low:.2f}–{high:.2f}]")
        for size, (share, least, most), (tau, low, high) in zip(drawn.sizes, covered, taken, strict=True)
    ]
    console.table(("draft vocabulary", "held-out coverage", f"τ at draft length {draft_length}"), rows)
    console.say("In brackets: 95 % intervals, held-out answers resampled.")


def show_learning(console: Console, points: "Sequence[CurvePoint]", size: int) -> None:
    """Show held-out coverage by the number of prompts that ranked."""
    rows = [
        (f"{each.prompts:.0f}", f"{each.coverage.value:.1%} [{each.coverage.low:.1%}–{each.coverage.high:.1%}]")
        for each in points
    ]
    if rows:
        console.table(("ranked on prompts", f"covers of others at {size:,}"), rows)


def show_tally(console: Console, tally: "CountResult", where: object) -> dict[str, object]:
    """Show how much of the data was counted and what was left out; return it for ``--json``."""
    counts, report, reading = tally.counts, tally.report, tally.reading
    console.say(
        f"{where}: {counts.tokens:,} tokens of {report.counted:,} samples, {report.turns:,} turns, "
        f"{reading.read:,} entries read"
    )
    passed_over = {
        "entries that cannot be read": reading.broken,
        "samples that cannot be counted": report.broken,
        "samples without an assistant's turn": report.without_assistant,
        "empty turns": report.empty_turns,
        "turns that do not end": report.unended_turns,
        "turns that the template rewrites": report.rewritten_turns,
        **{f"messages of role {role} that the template drops": n for role, n in report.dropped_roles.items()},
    }
    for what, number in passed_over.items():
        if number:
            console.say(f"{what}: {number:,}")
    for problem in (*reading.problems, *(f"sample {each.id}: {each.reason}" for each in report.problems)):
        console.note(f"  {problem}")
    broken, problems = reading.broken, reading.problems
    entries = {"entries": reading.read, "broken_entries": broken}
    return {"tokens": counts.tokens, "report": report, **entries, "problems": problems}
