"""The pictures of a plan: the drafters' predicted speeds, and the speed of every size and draft length."""

from edgedraft.exporter.pages.charts import Bar, bars
from edgedraft.exporter.pages.heat import MapMark, heat_map
from edgedraft.exporter.pages.html import PageFigure
from edgedraft.exporter.planning.planner import Decision
from edgedraft.exporter.planning.scoring import Option
from edgedraft.exporter.planning.views import speed_map
from edgedraft.runtime.base.intervals import Interval


def plan_figures(decision: Decision) -> tuple[PageFigure, ...]:
    """Return the plan beside the target alone, and the map of the chosen setup's options."""
    sure, shown, marks = decision.uncertainty, speed_map(decision), _marks(decision)
    best = "plan" if decision.plan.speculate else "best with drafts (the plan is to draft nothing)"
    rows = [_bar(best, sure.tokens_per_second), _bar("target alone", sure.plain_tokens_per_second, marked=True)]
    plain = sure.plain_tokens_per_second.value
    return (
        PageFigure(
            caption="Predicted speed; the line is the 80 % interval",
            draw=lambda width: bars(rows, width),
        ),
        PageFigure(
            caption=f"Predicted speed of {decision.best.setup}; what the limits forbid is empty",
            draw=lambda width: heat_map(shown, plain, marks, width),
        ),
    )


def _bar(label: str, speed: Interval, *, marked: bool = False) -> Bar:
    shown = f"{speed.text(1)} tokens/s"
    return Bar(label=label, value=speed.value, low=speed.low, high=speed.high, shown=shown, marked=marked)


def _marks(decision: Decision) -> list[MapMark]:
    """Mark the plan, and the runner-up where it is of the same setup."""
    best, second = decision.best, decision.runner_up
    name = "plan" if decision.plan.speculate else "best with drafts"
    marks = [_mark(best, f"Ring: {name}")]
    if second is not None and second.setup == best.setup:
        marks.append(_mark(second, "Dashed ring: runner-up", dashed=True))
    return marks


def _mark(option: Option, name: str, *, dashed: bool = False) -> MapMark:
    size, length = option.draft_vocab_size, option.draft_length
    said = f"{name}, {size:,} draft tokens, draft length {length}, {option.tokens_per_second:.1f} tokens/s."
    return MapMark(draft_vocab_size=size, draft_length=length, said=said, dashed=dashed)
