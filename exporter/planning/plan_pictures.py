"""The pictures of a plan: speed by size and draft length, coverage and τ by size, and speed against memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedraft.calibration.run import Calibration
from edgedraft.exporter.planning.figures import COLORS, FORMATS, drawing, size_axis, write_title
from edgedraft.exporter.planning.options import Option
from edgedraft.exporter.planning.pair_plan import Planned
from edgedraft.exporter.planning.pictures import curves, draw
from edgedraft.exporter.planning.plan_views import Cloud, SpeedMap, cell_edges, clouds, pareto_options, runs, speed_map
from edgedraft.exporter.planning.planner import Decision
from edgedraft.runtime.records import require

if TYPE_CHECKING:
    from edgedraft.exporter.planning.figures import Axes, Figure

_MARKERS = "os^DvP"
_GREY = "0.8"
_GIB = 2**30


def draw_plan(planned: Planned, calibration: Calibration, folder: Path) -> tuple[Path, ...]:
    """Write speed, curves and pareto into ``folder``, each as PNG and SVG, and say where they are."""
    require(not folder.exists() or folder.is_dir(), f"{folder}: expected a folder for pictures", got="a file")
    decision, plan, pair = planned.decision, planned.plan, planned.pair
    title = f"{pair.drafter.source.name} drafting for {pair.target.source.name} on {plan.device}"
    speed, by_size, pareto = ([folder / f"{name}.{kind}" for kind in FORMATS] for name in ("speed", "curves", "pareto"))
    drawn = curves(calibration, planned.replayed, planned.order, plan.draft_length, also=(plan.draft_vocab_size,))
    _draw_speed(decision, title, speed)
    draw(drawn, plan, title, *by_size)
    _draw_pareto(decision, title, pareto)
    return (*speed, *by_size, *pareto)


def _draw_speed(decision: Decision, title: str, paths: Sequence[Path]) -> None:
    """The heat map of the chosen setup."""
    shown, edges = speed_map(decision), cell_edges(speed_map(decision).sizes)
    with drawing(*paths, inches=(9, 6.5)) as figure:
        write_title(figure, f"{title}\n{decision.best.setup}")
        axes = figure.subplots()
        size_axis(axes, shown.sizes.tolist())
        axes.set(xlim=(edges[0], edges[-1]), ylabel="draft length γ (tokens drafted a round)")
        axes.set_yticks(shown.draft_lengths)
        _draw_cells(figure, axes, shown, decision.certainty.plain_tokens_per_second.value)
        for number, (first, behind) in enumerate(runs(~shown.allowed)):
            label = "_" * (number > 0) + "beyond the limits"  # a label that begins with _ stays out of the legend
            grey = {"facecolor": "0.92", "edgecolor": "0.6", "hatch": "///", "linewidth": 0, "label": label}
            axes.axvspan(edges[first], edges[behind], **grey)
        for option, name, look in _marked(decision):
            label = _told(option, name, decision.best)
            axes.scatter([option.draft_vocab_size], [option.draft_length], **look, label=label, clip_on=False)
        figure.legend(loc="outside lower center")


def _draw_cells(figure: "Figure", axes: "Axes", shown: SpeedMap, plain: float) -> None:
    """Colours for speeds, and a line where they equal ``plain``, the target's own tokens per second."""
    speeds, lengths = shown.within_limits.T, shown.draft_lengths
    rows = np.append(lengths - 0.5, lengths[-1] + 0.5)
    cells = axes.pcolormesh(cell_edges(shown.sizes), rows, speeds, cmap="cividis", rasterized=True)
    bar = figure.colorbar(cells, ax=axes, label="predicted speed (tokens/s)")
    if not speeds.min() < plain < speeds.max():
        return
    for color, width, style in (("white", 4, "-"), ("black", 2, "--")):  # seen on dark and on bright cells
        bar.ax.axhline(plain, color=color, linewidth=width, linestyle=style)
        if min(speeds.shape) > 1:
            axes.contour(shown.sizes, lengths, speeds, levels=[plain], colors=color, linewidths=width, linestyles=style)
    axes.plot(
        [], [], color="black", linewidth=2, linestyle="--", label=f"as fast as the target alone ({plain:.1f} tokens/s)"
    )


def _draw_pareto(decision: Decision, title: str, paths: Sequence[Path]) -> None:
    """Every option's memory and speed, and the best speed of each memory."""
    weighed, plain = decision.weighed, decision.certainty.plain_tokens_per_second.value
    with drawing(*paths, inches=(9, 7)) as figure:
        write_title(figure, title)
        axes = figure.subplots()
        looks = [*zip(COLORS, _MARKERS, strict=True), ("0.5", "X")]
        for cloud, (color, marker) in zip(clouds(weighed, len(COLORS)), looks, strict=False):
            _draw_cloud(axes, cloud, color, marker)
        front = pareto_options(weighed)
        gib = [option.memory_bytes / _GIB for option in front]
        speeds = [option.tokens_per_second for option in front]
        label = "the fastest within so much memory (Pareto front)"
        axes.plot(gib, speeds, color="black", linewidth=1.5, drawstyle="steps-post", label=label)
        axes.axhline(plain, color="0.3", linestyle="--", label=f"the target alone ({plain:.1f} tokens/s)")
        if not weighed.allowed.all():
            axes.scatter([], [], s=30, color=_GREY, label="beyond the limits")
        for option, name, look in _marked(decision):
            axes.scatter(
                [option.memory_bytes / _GIB], [option.tokens_per_second], **look, label=_told(option, name, None)
            )
        axes.set(xlabel="memory of both models and their buffers (GiB)", ylabel="predicted speed (tokens/s)")
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
        figure.legend(loc="outside lower center")


def _draw_cloud(axes: "Axes", cloud: Cloud, color: str, marker: str) -> None:
    """Faint dots, grey where the limits forbid, and a strong one for the legend."""
    gib, speeds, inside = cloud.memory_bytes / _GIB, cloud.tokens_per_second, cloud.allowed
    dots = {"s": 9, "linewidth": 0, "rasterized": True, "marker": marker}
    axes.scatter(gib[~inside], speeds[~inside], **dots, color=_GREY)
    axes.scatter(gib[inside], speeds[inside], **dots, color=color, alpha=0.35)
    axes.scatter([], [], s=30, color=color, marker=marker, label=cloud.label)


def _marked(decision: Decision) -> list[tuple[Option, str, dict[str, object]]]:
    """The plan and the runner-up with their names and looks; the plan lies on top."""
    name = "plan" if decision.plan.speculate else "best with drafts (the plan is to draft nothing)"
    outlined = {"facecolor": "white", "edgecolor": "black", "linewidth": 1.2}
    plan = (decision.best, name, {"marker": "*", "s": 320, "zorder": 6, **outlined})
    if decision.runner_up is None:
        return [plan]
    return [plan, (decision.runner_up, "runner-up", {"marker": "D", "s": 55, "zorder": 5, **outlined})]


def _told(option: Option, name: str, beside: Option | None) -> str:
    """What the legend says of an option: its setup too unless it is that of ``beside``."""
    told = f"{name}: K = {option.draft_vocab_size:,}, γ = {option.draft_length}"
    setup = "" if beside is not None and option.setup == beside.setup else f" ({option.setup})"
    return f"{told}, {option.tokens_per_second:.1f} tokens/s{setup}"
