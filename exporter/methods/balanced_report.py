"""The reports of method balanced: the reference tool's three files, each written whole or not at all."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgedraft.exporter.methods.balanced import BalancedResult
from edgedraft.exporter.methods.utility import ScoredSize
from edgedraft.exporter.planning.figures import BLUE, ORANGE, drawing, require_own_pictures, size_axis
from edgedraft.runtime.base.files import write_json
from edgedraft.runtime.base.outputs import require_own_file
from edgedraft.runtime.base.records import require, to_plain

SUMMARY, FULL, PICTURE = "summary.json", "full_results.json", "optimization_results.png"

_METHOD = "scan"


def summary(result: BalancedResult) -> dict[str, Any]:
    """Summarise the choice; ``vocab_reduction_ratio`` = 1 - K/V."""
    chosen = result.chosen
    return {
        "method": _METHOD,
        "optimal_draft_vocab_size": chosen.size,
        "target_vocab_size": result.target_vocab_size,
        "vocab_reduction_ratio": 1 - chosen.size / result.target_vocab_size,
        **_worth(chosen),
    }


def full_results(result: BalancedResult) -> dict[str, Any]:
    """Collect what the reference tool writes, and beside it the trials in order and the scan against TPE."""
    chosen, by_tpe = result.chosen, result.by_tpe
    evaluated = {str(trial.weighed.size): _worth(trial.weighed) for trial in result.trials}
    return {
        "method": _METHOD,
        "optimal_vocab_size": chosen.size,
        **_worth(chosen),
        "n_trials": len(result.trials),
        "all_evaluations": {**evaluated, str(chosen.size): _worth(chosen)},
        "trials": [{**to_plain(trial.weighed), "feasible": trial.feasible} for trial in result.trials],
        "tpe": None if by_tpe is None else to_plain(by_tpe),
        "scan": to_plain(chosen),
        "utility_missed_by_tpe": result.missed_by_tpe,
        "worthwhile_share": result.worthwhile_share if result.settings.utility.coverage_weight > 0 else None,
        "curve": to_plain(result.curve),
        "settings": to_plain(result.settings.utility) | {"random_state": result.settings.search.seed},
    }


def require_reports_folder(folder: Path) -> None:
    """Refuse a folder where the reports would replace other files; callers ask before they begin to count."""
    require(not folder.exists() or folder.is_dir(), f"{folder}: expected a folder for reports", got="a file")
    for name in (SUMMARY, FULL):
        require_own_file(folder / name, "a report of method balanced", f'"method": "{_METHOD}"'.encode())
    require_own_pictures(folder / PICTURE)


def write_reports(result: BalancedResult, folder: Path) -> tuple[Path, ...]:
    """Write the summary, all results and the picture into ``folder``, and return the files."""
    require_reports_folder(folder)
    paths = tuple(folder / name for name in (SUMMARY, FULL, PICTURE))
    write_json(paths[0], summary(result))
    write_json(paths[1], full_results(result))
    feasible = [trial.weighed for trial in result.trials if trial.feasible]
    draw_balanced(result.curve, feasible, result.chosen, paths[2])
    return paths


def _worth(size: ScoredSize) -> dict[str, float]:
    return {
        "coverage": size.coverage,
        "latency_reduction": size.latency_reduction,
        "utility": size.utility,
    }


def draw_balanced(curve: Sequence[ScoredSize], tried: Sequence[ScoredSize], chosen: ScoredSize, path: Path) -> None:
    """Draw a PNG of four panels: coverage, latency reduction and utility against size, and the Pareto front."""
    titles = {"coverage": "token coverage C", "latency_reduction": "latency reduction R", "utility": "utility U"}
    with drawing(path, inches=(12, 8)) as figure:
        panels = figure.subplots(2, 2)
        for axes, (name, title) in zip(panels.flat, titles.items(), strict=False):
            axes.plot([each.size for each in curve], [getattr(each, name) for each in curve], color=BLUE)
            axes.plot([each.size for each in tried], [getattr(each, name) for each in tried], ".", color=ORANGE)
            axes.axvline(chosen.size, color="grey", linestyle="--", linewidth=1)
            axes.set(ylabel=title, title=title)
            axes.grid(visible=True, alpha=0.3)
            size_axis(axes, [each.size for each in (*curve, *tried, chosen)])
        front = panels[1, 1]
        front.plot([each.latency_reduction for each in curve], [each.coverage for each in curve], color=BLUE)
        points = {"x": [each.latency_reduction for each in tried], "y": [each.coverage for each in tried]}
        dots = front.scatter(**points, c=[each.size for each in tried], s=18, label="tried by TPE", zorder=3)
        figure.colorbar(dots, ax=front, label="draft vocabulary size K")
        star = {"marker": "*", "s": 160, "color": "red", "label": f"chosen: {chosen.size:,}"}
        front.scatter([chosen.latency_reduction], [chosen.coverage], **star, zorder=4)
        front.set(xlabel="latency reduction R", ylabel="token coverage C", title="Pareto front")
        front.legend(loc="lower left")
        front.grid(visible=True, alpha=0.3)
