"""The pictures of a plan: coverage and τ by size, speed by size and draft length, and speed against memory."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgedraft.calibration.run import Calibration
from edgedraft.exporter.planning.figures import (
    BLUE,
    COLORS,
    FORMATS,
    ORANGE,
    drawing,
    require_own_pictures,
    size_axis,
    write_title,
)
from edgedraft.exporter.planning.planner import Decision, Planned
from edgedraft.exporter.planning.scoring import Option
from edgedraft.exporter.planning.views import (
    Cloud,
    Curves,
    SpeedMap,
    cell_edges,
    clouds,
    curves,
    pareto_options,
    runs,
    speed_map,
    window,
)
from edgedraft.runtime.base.records import require
from edgedraft.runtime.core.plan import DecodingPlan

if TYPE_CHECKING:
    from edgedraft.exporter.planning.figures import Artist, Axes, Figure

Look = dict[str, Any]
"""How a mark is drawn, in matplotlib's words."""

_LEGEND_LETTERS = 88
_MARKERS = "os^DvP"
_GREY = "0.8"
_GIB = 2**30


_NAMES = ("speed", "curves", "pareto")


def require_pictures_folder(folder: Path) -> None:
    """Refuse a folder where a plan's pictures would replace other files; callers ask before minutes of planning."""
    require(not folder.exists() or folder.is_dir(), f"{folder}: expected a folder for pictures", got="a file")
    require_own_pictures(*(path for paths in _pictures(folder) for path in paths))


def _pictures(folder: Path) -> list[list[Path]]:
    """Return the files of each picture, one a format."""
    return [[folder / f"{name}.{kind}" for kind in FORMATS] for name in _NAMES]


def draw_plan(planned: Planned, calibration: Calibration, folder: Path) -> tuple[Path, ...]:
    """Draw speed, curves and pareto into ``folder``, each as PNG and SVG, and return the files."""
    require_pictures_folder(folder)
    decision, plan, pair = planned.decision, planned.plan, planned.pair
    title = f"{pair.drafter.source.name} drafting for {pair.target.source.name} on {plan.device}"
    speed, by_size, pareto = _pictures(folder)
    drawn = curves(calibration, planned.replayed, planned.order, plan.draft_length, also=(plan.draft_vocab_size,))
    draw_speed(decision, title, *speed)
    draw_curves(drawn, plan, title, *by_size)
    draw_pareto(decision, title, *pareto)
    return (*speed, *by_size, *pareto)


def draw_curves(drawn: Curves, plan: DecodingPlan, title: str, *paths: Path) -> None:
    """Draw both curves with their intervals and the plan's size, as PNG or SVG by each path's suffix."""
    with drawing(*paths, inches=(9, 7)) as figure:
        write_title(figure, title)
        upper, lower = figure.subplots(2, 1, sharex=True)
        in_percent = [[100 * share for share in part] for part in _coverage(drawn)]
        _draw_curve(upper, drawn.sizes, in_percent, BLUE)
        _draw_curve(lower, drawn.sizes, _block_efficiency(drawn), ORANGE)
        upper.set_ylabel("coverage of held-out tokens (%)")
        lower.set_ylabel(f"block efficiency τ at draft length {plan.draft_length}\n(tokens per target pass)")
        size_axis(lower, (*drawn.sizes, plan.draft_vocab_size))
        upper.tick_params(bottom=False)
        for axes in (upper, lower):
            label = f"{'plan' if plan.speculate else 'best with drafts'}: K = {plan.draft_vocab_size:,}"
            axes.axvline(plan.draft_vocab_size, color="0.3", linestyle="--", linewidth=1.2, label=label)
            axes.grid(visible=True, alpha=0.3)
            axes.legend(loc="lower right")


def _coverage(drawn: Curves) -> tuple[Sequence[float], ...]:
    return drawn.coverage, drawn.coverage_low, drawn.coverage_high


def _block_efficiency(drawn: Curves) -> tuple[Sequence[float], ...]:
    return drawn.block_efficiency, drawn.block_efficiency_low, drawn.block_efficiency_high


def _draw_curve(axes: "Axes", sizes: Sequence[int], values: Sequence[Sequence[float]], color: str) -> None:
    """Draw a curve, given as its values and the lows and highs of their intervals."""
    middle, low, high = values
    axes.plot(sizes, middle, "o-", color=color, markersize=4, label="all held-out answers")
    label = "95 % interval, answers resampled"
    axes.fill_between(sizes, low, high, color=color, alpha=0.2, linewidth=0, label=label)
    axes.vlines(sizes, low, high, color=color, alpha=0.5, linewidth=1)


def draw_speed(decision: Decision, title: str, *paths: Path) -> None:
    """Draw the heat map of the chosen setup, K across and draft length up, as PNG or SVG by each path's suffix."""
    shown, edges = speed_map(decision), cell_edges(speed_map(decision).sizes)
    with drawing(*paths, inches=(9, 6.5)) as figure:
        write_title(figure, f"{title}\n{decision.best.setup}")
        axes = figure.subplots()
        size_axis(axes, shown.sizes.tolist())
        axes.set(xlim=(edges[0], edges[-1]), ylabel="draft length γ (tokens drafted a round)")
        axes.set_yticks(shown.draft_lengths)
        _draw_cells(figure, axes, shown, decision.uncertainty.plain_tokens_per_second.value)
        for number, (first, behind) in enumerate(runs(~shown.allowed)):
            label = "_" * (number > 0) + "beyond the limits"  # a label that begins with _ stays out of the legend
            grey: Look = {"facecolor": "0.92", "edgecolor": "0.6", "hatch": "///", "linewidth": 0, "label": label}
            axes.axvspan(edges[first], edges[behind], **grey)
        for option, name, look in _marked(decision):
            label = _label(option, name, decision.best)
            axes.scatter([option.draft_vocab_size], [option.draft_length], **look, label=label, clip_on=False)
        figure.legend(loc="outside lower center")


def _draw_cells(figure: "Figure", axes: "Axes", shown: SpeedMap, plain: float) -> None:
    """Draw colours for speeds, and a line where they equal ``plain``, the target's own tokens per second."""
    speeds, lengths = shown.within_limits.T, shown.draft_lengths
    rows = np.append(lengths - 0.5, lengths[-1] + 0.5)
    cells = axes.pcolormesh(cell_edges(shown.sizes), rows, speeds, cmap="cividis", rasterized=True)
    bar = figure.colorbar(cells, ax=axes, label="predicted speed (tokens/s)")
    if not speeds.min() < plain < speeds.max():
        compared = "faster" if plain <= speeds.min() else "slower"
        axes.plot([], [], " ", label=f"everywhere {compared} than the target alone ({plain:.1f} tokens/s)")
        return
    for color, width, style in (("white", 4, "-"), ("black", 2, "--")):  # seen on dark and on bright cells
        bar.ax.axhline(plain, color=color, linewidth=width, linestyle=style)
        if min(speeds.shape) > 1:
            axes.contour(shown.sizes, lengths, speeds, levels=[plain], colors=color, linewidths=width, linestyles=style)
    axes.plot(
        [], [], color="black", linewidth=2, linestyle="--", label=f"as fast as the target alone ({plain:.1f} tokens/s)"
    )


def draw_pareto(decision: Decision, title: str, *paths: Path) -> None:
    """Draw every option's memory and speed with the front, and beside it the same close to the front."""
    shown, front = clouds(decision.scored, len(COLORS)), pareto_options(decision.scored)
    with drawing(*paths, inches=(12, 7.5)) as figure:
        write_title(figure, title)
        whole, near = figure.subplots(1, 2)
        for axes in (whole, near):
            setups, marks = _draw_options(axes, shown), [*_draw_front(axes, front), *_draw_marks(axes, decision)]
            axes.set(xlabel="memory of both models and their buffers (GiB)", ylabel="predicted speed (tokens/s)")
            axes.grid(visible=True, alpha=0.3)
        whole.set_title("all options")
        whole.set_ylim(bottom=0)
        near.set_title("close to the front")
        left, right, low, high = window([*front, *(option for option, _, _ in _marked(decision))])
        near.set(xlim=(left / _GIB, right / _GIB), ylim=(low, high))
        figure.legend(handles=setups, loc="outside lower left")
        figure.legend(handles=marks, loc="outside lower right")


def _draw_options(axes: "Axes", shown: Sequence[Cloud]) -> "Sequence[Artist]":
    """Draw faint dots by setup, grey where the limits forbid, and return strong ones for the legend."""
    looks, handles = [*zip(COLORS, _MARKERS, strict=True), ("0.5", "X")], []
    for cloud, (color, marker) in zip(shown, looks, strict=False):
        gib, speeds, inside = cloud.memory_bytes / _GIB, cloud.tokens_per_second, cloud.allowed
        dots: Look = {"s": 9, "linewidth": 0, "rasterized": True, "marker": marker}
        axes.scatter(gib[~inside], speeds[~inside], **dots, color=_GREY)
        axes.scatter(gib[inside], speeds[inside], **dots, color=color, alpha=0.35)
        handles.append(axes.scatter([], [], s=30, color=color, marker=marker, label=cloud.label))
    if not all(cloud.allowed.all() for cloud in shown):
        handles.append(axes.scatter([], [], s=30, color=_GREY, label="beyond the limits"))
    return handles


def _draw_front(axes: "Axes", front: Sequence[Option]) -> "Sequence[Artist]":
    gib = [option.memory_bytes / _GIB for option in front]
    speeds = [option.tokens_per_second for option in front]
    label = "the fastest within so much memory (Pareto front)"
    return axes.plot(gib, speeds, color="black", linewidth=1.5, drawstyle="steps-post", label=label)


def _draw_marks(axes: "Axes", decision: Decision) -> "Sequence[Artist]":
    """Draw the plan, the runner-up and the target's own speed."""
    plain = decision.uncertainty.plain_tokens_per_second.value
    handles: list[Artist] = [
        axes.axhline(plain, color="0.3", linestyle="--", label=f"the target alone ({plain:.1f} tokens/s)")
    ]
    for option, name, look in _marked(decision):
        point = ([option.memory_bytes / _GIB], [option.tokens_per_second])
        handles.append(axes.scatter(*point, **look, label=_label(option, name, None)))
    return handles


def _marked(decision: Decision) -> list[tuple[Option, str, Look]]:
    """Return the plan and the runner-up with their names and looks; the plan lies on top."""
    name = "plan" if decision.plan.speculate else "best with drafts (the plan is to draft nothing)"
    outlined: Look = {"facecolor": "white", "edgecolor": "black", "linewidth": 1.2}
    plan: tuple[Option, str, Look] = (decision.best, name, {"marker": "*", "s": 320, "zorder": 6, **outlined})
    if decision.runner_up is None:
        return [plan]
    return [plan, (decision.runner_up, "runner-up", {"marker": "D", "s": 55, "zorder": 5, **outlined})]


def _label(option: Option, name: str, beside: Option | None) -> str:
    """Write the legend of an option, with its setup unless it is that of ``beside``."""
    text = f"{name}: K = {option.draft_vocab_size:,}, γ = {option.draft_length}"
    setup = "" if beside is not None and option.setup == beside.setup else f" ({option.setup})"
    return textwrap.fill(f"{text}, {option.tokens_per_second:.1f} tokens/s{setup}", _LEGEND_LETTERS)
